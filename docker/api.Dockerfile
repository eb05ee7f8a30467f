# The HTTP front end, and the sender of webhooks: app, webhooks and protocol. No torch.
FROM python:3.11-slim-bookworm AS packages

COPY requirements/api.txt requirements/webhooks.txt requirements/constraints.txt /requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install \
        -r /requirements/api.txt -r /requirements/webhooks.txt -c /requirements/constraints.txt


FROM python:3.11-slim-bookworm

ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 DATA_DIR=/data
# A new volume takes its owner from the folder it is mounted on.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin denoised \
    && install --directory --owner=10001 --group=10001 /data
COPY --from=packages /opt/venv /opt/venv
WORKDIR /srv/denoised
# Readable for the user below, whatever the umask of the checkout.
COPY --chmod=755 protocol protocol
COPY --chmod=755 app app
COPY --chmod=755 webhooks webhooks
USER 10001:10001

EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --start-interval=1s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/livez')"]
CMD ["python", "-m", "app"]

ARG REVISION=""
LABEL org.opencontainers.image.title="denoised: HTTP front end" \
      org.opencontainers.image.description="Takes jobs for images from diffusion models, answers with PNGs" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11-slim-bookworm" \
      org.opencontainers.image.revision="$REVISION"
