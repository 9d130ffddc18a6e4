# CPU image: the command `chexnet`, with Paddle, OpenVINO and readers of DICOM.
#   docker build -t chexnet .
#   docker run --rm -v "$PWD/images:/data:ro" chexnet predict /data
FROM python:3.12-slim-bookworm AS build
WORKDIR /source
COPY . .
RUN pip install --no-cache-dir --root-user-action=ignore hatchling==1.27.0 \
    && python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

FROM python:3.12-slim-bookworm
# Paddle needs OpenMP. The version of a Debian release changes with its security updates, so it is not fixed.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*
COPY requirements.lock /tmp/requirements.lock
COPY --from=build /wheels /tmp/wheels
RUN pip install --no-cache-dir --root-user-action=ignore --require-hashes --requirement /tmp/requirements.lock \
    && pip install --no-cache-dir --root-user-action=ignore --no-deps /tmp/wheels/*.whl \
    && rm -r /tmp/wheels /tmp/requirements.lock \
    && useradd --create-home --uid 1000 chexnet
USER 1000
WORKDIR /home/chexnet
# For `serve`: the server answers on its health address. Other commands end before the first check.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["chexnet"]
CMD ["--help"]
