# The service, and nothing that only a developer needs. Glibc, not Alpine: every wheel exists for it.
#   docker run -e PRESENCE_AUTH=jwt -e PRESENCE_REDIS_URL=redis://... -p 8000:8000 presence-svc
# Runs with --read-only, --cap-drop=ALL and no-new-privileges; PRESENCE_WORKERS over 1 wants --tmpfs /tmp.
# For a build that is the same for ever, pin the base image by its digest: --build-arg BASE=python@sha256:...
ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
RUN python -m venv /opt/presence
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY presence_svc ./presence_svc
# Without the extra `embedded`: replicas must share one Redis (S10), and a container that was started
# without PRESENCE_REDIS_URL had better say so than keep a truth of its own.
RUN /opt/presence/bin/pip install --no-cache-dir -c constraints.txt .
# What is in it, as a CycloneDX document; the tool that writes it is not shipped.
#   docker run --rm --entrypoint cat presence-svc /opt/presence/sbom.cdx.json
RUN python -m venv /opt/presence-sbom \
    && /opt/presence-sbom/bin/pip install --no-cache-dir -c constraints.txt cyclonedx-bom \
    && /opt/presence-sbom/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
    --output-file /opt/presence/sbom.cdx.json /opt/presence/bin/python

FROM ${BASE}
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin presence
COPY --from=build /opt/presence /opt/presence
LABEL org.opencontainers.image.title=presence-svc \
    org.opencontainers.image.description="Who is watching which course and chapter, now" \
    org.opencontainers.image.licenses=MIT \
    presence-svc.sbom=/opt/presence/sbom.cdx.json
# Listens on every address of the container, which the service refuses until PRESENCE_AUTH is set.
ENV PATH=/opt/presence/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PRESENCE_HOST=0.0.0.0
USER 10001
EXPOSE 8000
# Alive, not ready: restarting every replica because Redis is away would only delay its return.
# A load balancer asks /readyz.
HEALTHCHECK --interval=15s --timeout=3s --start-period=10s CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ.get('PRESENCE_PORT', '8000') + '/livez', timeout=2)"]
ENTRYPOINT ["presence-svc"]
CMD ["serve"]
