"""`python -m yolotrack` is `yolotrack`."""

from yolotrack.cli import main

main()
