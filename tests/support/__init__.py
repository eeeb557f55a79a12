"""What several tests share: scripted sources, detectors, sinks and stores, and waiting with a deadline."""
