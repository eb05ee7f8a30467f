"""The operator's say over webhooks, from the environment: the API's and the senders' alike."""

from collections.abc import Callable
from typing import Annotated

from pydantic import BeforeValidator, Field, InstanceOf
from pydantic_settings import BaseSettings, NoDecode

from protocol.webhook_policy import Network, WebhookPolicy, parse_networks, parse_ports


def _of_text(parse: Callable[[str], object]) -> BeforeValidator:
    """The environment's texts are parsed, other values are what they are."""
    return BeforeValidator(lambda value: parse(value) if isinstance(value, str) else value)


Networks = Annotated[tuple[Network, ...], NoDecode, _of_text(parse_networks)]
Ports = Annotated[tuple[InstanceOf[range], ...], NoDecode, _of_text(parse_ports)]


class WebhookPolicySettings(BaseSettings):
    """WEBHOOK_ALLOW_HTTP, WEBHOOK_PORTS, WEBHOOK_NETWORKS. What the API accepts, senders send."""

    webhook_allow_http: Annotated[bool, Field(validation_alias="WEBHOOK_ALLOW_HTTP")] = False
    webhook_ports: Annotated[Ports, Field(validation_alias="WEBHOOK_PORTS")] = WebhookPolicy().ports
    webhook_networks: Annotated[Networks, Field(validation_alias="WEBHOOK_NETWORKS")] = ()

    @property
    def webhook_policy(self) -> WebhookPolicy:
        """The three as one."""
        return WebhookPolicy(self.webhook_allow_http, self.webhook_ports, self.webhook_networks)
