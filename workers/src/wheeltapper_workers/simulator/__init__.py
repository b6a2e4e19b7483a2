"""Simulated plant: pumps that run, change load, stop and wear out, served over OPC UA.

Entry points: `server.run` (live plant), `replay.serve_csv` (a recording), `history.write_history` (a healthy past).
"""
