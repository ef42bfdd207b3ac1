"""What the data is inspected for before anything is trained; one file an inspection."""

from tunesmith.gate._run import Inspected, inspect, leave_out

__all__ = ["Inspected", "inspect", "leave_out"]
