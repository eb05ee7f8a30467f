# A worker for each of MODELS: the engine, the network, the shipped models; and training.
FROM python:3.11-slim-bookworm AS packages

# Empty: PyPI's torch, which brings its own CUDA libraries; the host needs the driver alone.
# https://download.pytorch.org/whl/cpu: the same version for the CPU, without those gigabytes.
ARG TORCH_INDEX=""
COPY requirements/worker.txt requirements/constraints.txt /requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install \
        ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
        -r /requirements/worker.txt -c /requirements/constraints.txt


FROM python:3.11-slim-bookworm

# What is downloaded, compiled or found out lies in /data; HOME is where the libraries look first.
# NVIDIA's runtime gives a container what it names: CUDA, and nvidia-smi, which tells GPUs apart.
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 DATA_DIR=/data HOME=/data \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
# A new volume takes its owner from the folder it is mounted on.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin denoised \
    && install --directory --owner=10001 --group=10001 /data
COPY --from=packages /opt/venv /opt/venv
WORKDIR /srv/denoised
# Readable for the user below, whatever the umask of the checkout.
COPY --chmod=755 models models
COPY --chmod=755 protocol protocol
COPY --chmod=755 launch launch
COPY --chmod=755 worker worker
USER 10001:10001

# The first start checks which chunk sizes agree, which can take minutes on a small CPU. The
# interval is longer than a dead worker's heartbeat is believed.
HEALTHCHECK --interval=15s --timeout=10s --start-period=10m --retries=3 \
    CMD ["python", "-m", "worker.healthy"]
CMD ["python", "-m", "launch.workers"]

ARG REVISION=""
LABEL org.opencontainers.image.title="denoised: worker" \
      org.opencontainers.image.description="Draws images with diffusion models, in one batch for all jobs; trains them" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11-slim-bookworm" \
      org.opencontainers.image.revision="$REVISION"
