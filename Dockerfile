# One image for the three example services and for the operator: which it is, the command decides.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
FROM ${PYTHON_IMAGE}

# A user of its own: agents and gateways need no privilege.
RUN useradd --system --create-home --uid 10001 modctl
WORKDIR /srv

# What changes rarely comes first: the services' own dependencies.
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir "grpcio>=1.60" "protobuf>=4.25" "click>=8.1" "rich>=13" "PyYAML>=6" \
       "flask>=3.0" "gunicorn>=22" "fastapi>=0.110" "uvicorn>=0.29"
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

COPY pyproject.toml README.md LICENSE /src/
COPY proto /src/proto
COPY agent /src/agent
COPY client /src/client
COPY examples /src/examples
RUN /opt/venv/bin/pip install --no-cache-dir "/src[cli]" && cp -r /src/examples/. /srv/ && chown -R modctl /srv
USER modctl
CMD ["modctl", "--help"]
