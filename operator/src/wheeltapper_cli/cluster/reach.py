"""From a kubeconfig to an open connection to a tenant's gateway, through the API server: no address has to be known."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

import kubernetes
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from kubernetes.stream import portforward
from urllib3.exceptions import HTTPError

from wheeltapper_cli.errors import CommandError, InvalidInputError
from wheeltapper_cli.gateway.access import AUDIENCE
from wheeltapper_cli.served import Choice
from wheeltapper_operator.build.gateway import ACCESS_ACCOUNT, CERTIFICATE, NAME

# The types that this client gives are wider than what the API server answers: every field of them may be None.
_CLIENT: Final[Any] = kubernetes
_API_S: Final = 15
_SILENT_S: Final = 600.0
"""A command may say nothing for so long."""
_LEAVE_S: Final = 5.0
_TOKEN_S: Final = 600
_FORBIDDEN, _NOT_FOUND, _UNAUTHORIZED = 403, 404, 401


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where a tenant's gateway is."""

    namespace: str
    pod: str
    port: int
    certificate: str


class Cluster:
    """A cluster as a kubeconfig says how to reach it.

    Raises
    ------
    InvalidInputError
        If there is no kubeconfig, or it does not say enough.
    """

    def __init__(self, choice: Choice) -> None:
        if choice.kubeconfig is not None and not Path(choice.kubeconfig).is_file():
            raise InvalidInputError(f"There is no kubeconfig {choice.kubeconfig}")
        try:
            contexts, current = _CLIENT.config.list_kube_config_contexts(choice.kubeconfig)
            named = choice.context or (current or {}).get("name")
            found = next((one for one in contexts if one["name"] == named), None)
            if found is None:
                known = ", ".join(one["name"] for one in contexts)
                raise InvalidInputError(f"The kubeconfig has no context {named}; choose one with --context: {known}")
            self._api = _CLIENT.config.new_client_from_config(choice.kubeconfig, named)
        except (ConfigException, OSError, ValueError) as error:
            raise InvalidInputError(
                f"No cluster can be reached: {error}. Name a kubeconfig with --kubeconfig or KUBECONFIG"
            ) from error
        self.namespace: str = choice.namespace or found["context"].get("namespace") or "default"

    def close(self) -> None:
        """Leave the API server."""
        self._api.close()

    def gateway(self) -> Gateway:
        """The gateway of the namespace.

        Raises
        ------
        InvalidInputError
            If there is no such namespace or no gateway in it, or looking is not allowed.
        CommandError
            If it is not ready, or the API server does not answer.
        """
        core = _CLIENT.client.CoreV1Api(self._api)
        with self._explained("get", f"services/{NAME}", missing=self._no_gateway):
            service = core.read_namespaced_service(NAME, self.namespace, _request_timeout=_API_S)
        certificate = (service.metadata.annotations or {}).get(CERTIFICATE, "")
        selector = ",".join(f"{key}={value}" for key, value in (service.spec.selector or {}).items())
        with self._explained("list", "pods"):
            pods = core.list_namespaced_pod(self.namespace, label_selector=selector, _request_timeout=_API_S).items
        ready = [pod.metadata.name for pod in pods if _is_ready(pod)]
        if not ready or not selector or not certificate:
            raise CommandError(
                f"The gateway in the namespace {self.namespace} is not ready; see: kubectl get pods -n {self.namespace}"
            )
        return Gateway(self.namespace, ready[0], int(service.spec.ports[0].target_port), certificate)

    def token(self) -> str:
        """Token of the person, or of the account for people who have none.

        Raises
        ------
        InvalidInputError
            If there is none and none may be made.
        """
        given = self._api.configuration.get_api_key_with_prefix("BearerToken")
        if given:
            return str(given).removeprefix("Bearer ").strip()
        body = {"spec": {"audiences": [AUDIENCE], "expirationSeconds": _TOKEN_S}}
        with self._explained("create", f"serviceaccounts/{ACCESS_ACCOUNT}/token"):
            made = _CLIENT.client.CoreV1Api(self._api).create_namespaced_service_account_token(
                ACCESS_ACCOUNT, self.namespace, body, _request_timeout=_API_S
            )
        return str(made.status.token)

    @contextmanager
    def connected(self, gateway: Gateway) -> Iterator[HTTPConnection]:
        """A connection to a gateway.

        Raises
        ------
        InvalidInputError
            If that is not allowed.
        CommandError
            If nothing answers, or not the one that the operator has set up.
        """
        core = _CLIENT.client.CoreV1Api(self._api)
        with self._explained("create", f"pods/{gateway.pod}/portforward"):
            forward: Any = portforward(
                core.connect_get_namespaced_pod_portforward, gateway.pod, gateway.namespace, ports=str(gateway.port)
            )
        local = forward.socket(gateway.port)
        with contextlib.closing(local.dup()) as line:
            try:
                connection = HTTPConnection(_host(gateway.namespace))
                connection.sock = _secured(local, gateway)
                with contextlib.closing(connection):
                    yield connection
            finally:
                _leave(line)

    @contextmanager
    def _explained(self, verb: str, what: str, missing: Any = None) -> Iterator[None]:
        try:
            yield
        except ApiException as error:
            status = error.status or _handshake_status(error)
            if status == _NOT_FOUND and missing is not None:
                raise missing() from error
            if status == _UNAUTHORIZED:
                raise InvalidInputError("The cluster does not know you; log in again, as for kubectl") from error
            if status == _FORBIDDEN:
                raise InvalidInputError(
                    f"You may not {verb} {what} in the namespace {self.namespace}: {_message(error)}\n"
                    "What it takes to use a gateway is in docs/gateway.md"
                ) from error
            raise CommandError(f"The cluster cannot {verb} {what}: {_message(error)}") from error
        except (HTTPError, OSError) as error:
            raise CommandError(f"The cluster at {self._api.configuration.host} does not answer: {error}") from error

    def _no_gateway(self) -> Exception:
        with contextlib.suppress(ApiException, HTTPError):  # looking needs a right that few people have
            _CLIENT.client.CoreV1Api(self._api).read_namespace(self.namespace, _request_timeout=_API_S)
            return InvalidInputError(
                f"The namespace {self.namespace} has no gateway: no TenantPolicy owns it, or it is being set up; "
                "choose another with --namespace"
            )
        return InvalidInputError(
            f"There is no gateway in a namespace {self.namespace}; choose another with --namespace"
        )


def _secured(sock: Any, gateway: Gateway) -> ssl.SSLSocket:
    context = ssl.create_default_context(cadata=gateway.certificate)
    sock.settimeout(_SILENT_S)
    try:
        return context.wrap_socket(sock, server_hostname=_host(gateway.namespace))
    except ssl.SSLCertVerificationError as error:
        raise CommandError(f"What answers in {gateway.pod} is not the gateway: {error.verify_message}") from error
    except (OSError, ValueError) as error:
        raise CommandError(f"The gateway in {gateway.pod} does not answer: {error}") from error


def _leave(line: socket.socket) -> None:
    """End a port-forward in order: its thread takes a line that is closed with something unread for an error."""
    with contextlib.suppress(OSError):
        line.settimeout(_LEAVE_S)
        line.shutdown(socket.SHUT_WR)
        while line.recv(2**16):
            pass


def _host(namespace: str) -> str:
    return f"{NAME}.{namespace}.svc"


def _is_ready(pod: Any) -> bool:
    conditions = pod.status.conditions or []
    alive = pod.metadata.deletion_timestamp is None
    return alive and any(one.type == "Ready" and one.status == "True" for one in conditions)


def _message(error: ApiException) -> str:
    try:
        return str(json.loads(error.body or "")["message"])
    except (ValueError, KeyError, TypeError):
        return str(error.reason).split(" -+-+- ")[0]


def _handshake_status(error: ApiException) -> int:
    """Status of a refused port-forward: the client passes it on in words only."""
    words = str(error.reason).split()
    return int(words[2]) if words[:2] == ["Handshake", "status"] and words[2].isdigit() else 0
