# A worker: the engine, the network and the shipped models.
FROM python:3.11-slim-bookworm AS packages

# Empty: PyPI's torch, which brings its own CUDA libraries; the host needs the driver alone.
# https://download.pytorch.org/whl/cpu: the same version for the CPU, without those gigabytes.
ARG TORCH_INDEX=""
COPY requirements/worker.txt requirements/constraints.txt /requirements/
RUN python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --no-cache-dir \
        ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
        -r /requirements/worker.txt -c /requirements/constraints.txt


FROM python:3.11-slim-bookworm

ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 DATA_DIR=/data
# A new volume takes its owner from the folder it is mounted on.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin denoised \
    && install --directory --owner=10001 --group=10001 /data
COPY --from=packages /opt/venv /opt/venv
WORKDIR /srv/denoised
# Readable for the user below, whatever the umask of the checkout.
COPY --chmod=755 models models
COPY --chmod=755 protocol protocol
COPY --chmod=755 worker worker
USER 10001:10001

# The first start checks which chunk sizes agree, which can take minutes on a small CPU. The
# interval is longer than a dead worker's heartbeat is believed.
HEALTHCHECK --interval=15s --timeout=10s --start-period=10m --retries=3 \
    CMD ["python", "-m", "worker.healthy"]
CMD ["python", "-m", "worker"]
