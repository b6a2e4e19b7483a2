"""The backbone's accounts: who may connect, decided by keys that one seed gives; and their way to the servers."""
