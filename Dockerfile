# dsrna with all its optional parts, on CPUs and, where the host has NVIDIA's container toolkit, GPUs (torch's standard wheels):
#   docker build -t dsrna .
#   docker run --rm -v "$PWD/runs:/srv/dsrna/runs" -v /path/to/data:/data dsrna search
#   docker run --rm --gpus all … dsrna search +experiment=cifar10_jacobian
FROM python:3.12-slim-bookworm AS wheel
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir build
WORKDIR /source
COPY . .
# With the compiled kernels, so that the image itself needs no compiler.
RUN HATCH_BUILD_HOOK_ENABLE_CUSTOM=1 python -m build --wheel --outdir /wheels

FROM python:3.12-slim-bookworm
COPY --from=wheel /wheels /wheels
COPY constraints.txt /wheels/
RUN pip install --no-cache-dir --constraint /wheels/constraints.txt \
      "$(ls /wheels/*.whl)[export,tensorboard,models,hub,tune]" \
 && pip install --no-cache-dir --no-deps auto-lirpa==0.3 appdirs==1.4.4 \
 && rm -r /wheels
RUN useradd --create-home dsrna && mkdir -p /srv/dsrna/runs /data && chown -R dsrna /srv/dsrna /data
USER dsrna
WORKDIR /srv/dsrna
# wandb's git library is not to complain that there is no git.
ENV DSRNA_DATA=/data GIT_PYTHON_REFRESH=quiet
ENTRYPOINT ["dsrna"]
CMD ["doctor"]
