# One image for every role: `docker compose` says which command runs in which container.
FROM python:3.11-slim-bookworm

# what opencv-python's windows lean on; without them it cannot be imported
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 libsm6 libxext6 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY yolotrack ./yolotrack
RUN pip install --no-cache-dir -c constraints.txt '.[postgres]'

RUN useradd --create-home --uid 1000 yolotrack \
    && mkdir -p /data /output /home/yolotrack/.cache \
    && chown -R yolotrack /output /home/yolotrack
USER yolotrack
WORKDIR /output
VOLUME ["/home/yolotrack/.cache"]

ENTRYPOINT ["yolotrack"]
CMD ["--help"]
