# Training, evaluation, a notebook and a DICOM node (docker-compose.yml) in one image. On Linux the torch wheel brings its
# own CUDA, so a GPU needs nothing but the NVIDIA Container Toolkit on the host:
#
#   docker build --tag fetal-monai .
#   docker run --gpus all --shm-size 8g -v DATA:/data:ro -v MODEL:/model fetal-monai
#   docker run -p 127.0.0.1:8888:8888 -v DATA:/data:ro fetal-monai jupyter lab --ip 0.0.0.0 --no-browser
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /opt/fetal_monai
COPY pyproject.toml setup.py constraints.txt README.md LICENSE ./
# The dependencies are a layer of their own: a change of the code does not fetch gigabytes again.
RUN mkdir fetal_monai \
    && printf '__version__ = "0"\n' > fetal_monai/__init__.py \
    && pip install --constraint constraints.txt --editable '.[lite0,export,engines,video,jpegxl,deidentify,dicomweb,node,notebook]'
COPY fetal_monai fetal_monai
COPY bundle bundle

RUN useradd --create-home --uid 1000 fetal \
    && mkdir --mode 0700 /node \
    && mkdir /data /model \
    && chown fetal /data /model /node
USER 1000
VOLUME ["/data", "/model"]
EXPOSE 8888 11112

CMD ["python", "-m", "monai.bundle", "run", "training", \
     "--config_file", "bundle/configs/train.yaml", \
     "--dataset_dir", "/data", "--ckpt_dir", "/model", "--output_dir", "/model/logs"]
