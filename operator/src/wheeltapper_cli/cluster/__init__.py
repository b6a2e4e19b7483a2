"""The command line on a cluster: it finds the gateway of a tenant and has it run the command."""
