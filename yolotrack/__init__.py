"""Real-time, distributed object tracking on video."""

__version__ = "0.1.0"
