"""Simulated plants: machines that run, change load, stop and fail, served over OPC UA and MQTT.

Entry points: `load.load_plant` (a scenario), `server.run` (live), `history.write_history` (in bulk), and
`replay.serve_csv` (a recording).
"""
