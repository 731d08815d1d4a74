# SPDX-License-Identifier: LGPL-2.1-or-later
"""fedora-messaging's configuration file: it says to us what it says to fedora-messaging."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fedora_messaging.config import LazyConfig
from fedora_messaging.exceptions import ConfigurationException
from hypothesis import given
from hypothesis import strategies as st

from glasshub.amqp import settings
from glasshub.amqp.settings import AmqpSettings, Binding, broker_name, find, locate, read
from glasshub.errors import ConfigError
from glasshub.toml import as_toml

#: All that it can say, as its own example has it.
EVERYTHING = """
amqp_url = "amqps://fedora:@rabbitmq.example.org/%2Fpublic_pubsub?heartbeat=30"
callback = "fedora_messaging.example:printer"
passive_declares = true
publish_exchange = "zmq.topic"
topic_prefix = "org.example"
publish_priority = 3

[tls]
ca_cert = "/etc/fedora-messaging/cacert.pem"
keyfile = "/etc/fedora-messaging/fedora-key.pem"
certfile = "/etc/fedora-messaging/fedora-cert.pem"

[client_properties]
app = "Example Application"
app_url = "https://github.com/fedora-infra/fedora-messaging"

[exchanges."zmq.topic"]
type = "topic"
durable = true
auto_delete = false
arguments = {}

[queues.my_queue]
durable = true
auto_delete = false
exclusive = false
arguments = {x-max-priority = 5}

[[bindings]]
queue = "my_queue"
exchange = "zmq.topic"
routing_keys = ["org.a.#", "org.b.*"]

[[bindings]]
exchange = "amq.topic"
routing_keys = ["#"]

[consumer_config]
example_key = "for my consumer"

[qos]
prefetch_size = 0
prefetch_count = 25

[monitoring]
address = "127.0.0.1"
port = 8000

[log_config]
version = 1
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "fm.toml"


def refusal(file: Path, text: str) -> str:
    """What a file with that in it is refused for."""
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read(file)
    complaint = str(caught.value)
    assert complaint.startswith(f"{file}: ")
    return complaint.removeprefix(f"{file}: ")


def read_by_both(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What fedora-messaging makes of a file, and what we make of it, in its own words."""
    theirs = dict(LazyConfig().load_config(str(path)))
    found = read(path)
    ours = {
        key: getattr(found, key)
        for key in (
            *("publish_exchange", "topic_prefix", "publish_priority", "passive_declares", "exchanges", "queues"),
            *("consumer_config", "client_properties", "monitoring"),
        )
    }
    (url,) = found.urls
    ours |= {
        "amqp_url": url,
        "callback": found.callback or None,
        "bindings": [{**vars(binding), "routing_keys": list(binding.routing_keys)} for binding in found.bindings],
        "tls": {"ca_cert": None, "certfile": None, "keyfile": None, **found.tls},
        "prefetch": found.prefetch,
    }
    return _comparable(theirs), ours


def _comparable(theirs: dict[str, Any]) -> dict[str, Any]:
    """Without what is its own, and with an empty value where one of us has none."""
    theirs = {**theirs, "prefetch": theirs["qos"].get("prefetch_count", 10)}
    del theirs["qos"], theirs["log_config"]
    theirs["amqp_url"] = theirs["amqp_url"].removesuffix("?connection_attempts=3&retry_delay=5")
    theirs["bindings"] = [{"queue": "", **binding} for binding in theirs["bindings"]]
    theirs["tls"] = {"ca_cert": None, "certfile": None, "keyfile": None, **theirs["tls"]}
    theirs["client_properties"] = {
        key: value
        for key, value in theirs["client_properties"].items()
        if key not in ("product", "information", "version")
    }
    theirs["monitoring"] = {
        key: value or "0.0.0.0" if key == "address" else value for key, value in theirs["monitoring"].items()
    }
    return theirs


@pytest.mark.parametrize(
    "text",
    [
        "",
        EVERYTHING,
        'AMQP_URL = "amqp://broker"\nTopic_Prefix = "x"',
        "[monitoring]\nport = 1",
        "[queues]",
        "bindings = []",
        "[client_properties]",
        "[tls]\nca_cert = 'a'",
    ],
)
def test_file_says_to_us_what_it_says_to_fedora_messaging(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")

    theirs, ours = read_by_both(file)

    assert ours == theirs


TEXTS = st.text(st.characters(codec="utf-8", min_codepoint=32), max_size=8)
NAMES = st.text("abc-_.9", min_size=1, max_size=6)
TABLES = st.dictionaries(NAMES, TEXTS | st.booleans() | st.integers(0, 9), max_size=3)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "passive_declares": st.booleans(),
            "publish_exchange": TEXTS,
            "topic_prefix": TEXTS,
            "publish_priority": st.integers(0, 255),
            "callback": NAMES,
            "client_properties": st.dictionaries(NAMES, TEXTS, max_size=2),
            "consumer_config": TABLES,
            "exchanges": st.dictionaries(NAMES, st.fixed_dictionaries({"type": TEXTS, "durable": st.booleans()})),
            "queues": st.dictionaries(
                TEXTS,
                st.fixed_dictionaries(
                    {
                        "durable": st.booleans(),
                        "auto_delete": st.booleans(),
                        "exclusive": st.booleans(),
                        "arguments": TABLES,
                    }
                ),
                max_size=2,
            ),
            "bindings": st.lists(
                st.fixed_dictionaries(
                    {"exchange": TEXTS, "routing_keys": st.lists(TEXTS, max_size=3)}, optional={"queue": TEXTS}
                ),
                max_size=2,
            ),
            "qos": st.fixed_dictionaries({"prefetch_count": st.integers(0, 65535), "prefetch_size": st.integers(0, 9)}),
            "monitoring": st.just({})
            | st.fixed_dictionaries({"port": st.integers(1, 65535)}, optional={"address": TEXTS}),
        },
    )
)
def test_any_file_says_to_us_what_it_says_to_fedora_messaging(
    tmp_path_factory: pytest.TempPathFactory, said: dict[str, Any]
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_text("\n".join(f"{key} = {as_toml(value)}" for key, value in said.items()), encoding="utf-8")

    theirs, ours = read_by_both(file)

    assert ours == theirs


#: What fedora-messaging refuses, and how we do.
REFUSED_BY_BOTH = {
    "amqp_ulr = 'x'": "unknown key 'amqp_ulr' (valid ones are: amqp_url, passive_declares, tls, client_properties, "
    "exchanges, log_config, publish_exchange, topic_prefix, publish_priority, queues, bindings, callback, "
    "consumer_config, qos, monitoring)",
    "queues = 1": "queues must be a table, not a whole number",
    "[queues]\nq = true": "queues.q must be a table, not true or false",
    "[queues.q]\ndurable = true\nexclusive = true": "queues.q lacks auto_delete and arguments: "
    "it needs durable, auto_delete, exclusive, arguments",
    "bindings = {}": "bindings must be a list, not a table",
    "[[bindings]]\nqueue = 'a'": "bindings[0] lacks exchange and routing_keys: it needs exchange, routing_keys",
    "[[bindings]]\nexchange = 'a'\nrouting_keys = '#'": "bindings[0].routing_keys must be a list, not a string",
    "[client_properties]\nproduct = 'mine'": "client_properties.product is set by the client itself: leave it out",
    "[client_properties]\nversion = '1'": "client_properties.version is set by the client itself: leave it out",
    "[client_properties]\ninformation = '1'": "client_properties.information is set by the client itself: leave it out",
    "[monitoring]\naddress = 'a'": "monitoring lacks port: it needs port",
    "a =": "this is not TOML: Invalid value (at end of document)",
}


@pytest.mark.parametrize(("text", "complaint"), REFUSED_BY_BOTH.items())
def test_what_fedora_messaging_refuses_is_refused_with_what_to_do(file: Path, text: str, complaint: str) -> None:
    assert refusal(file, text) == complaint
    with pytest.raises(ConfigurationException):
        LazyConfig().load_config(str(file))


LOOKS_LIKE = "it looks like amqps://user:password@host:5671/vhost, with %2F for / in user, password and vhost"

#: What fedora-messaging takes, and stumbles over later; or does not do what it says.
REFUSED_BY_US = {
    "amqp_url = 5": "amqp_url must be a string, not a whole number",
    "amqp_url = 'http://a'": f"amqp_url must begin with amqp:// or amqps://: {LOOKS_LIKE}",
    "amqp_url = 'broker'": f"amqp_url must begin with amqp:// or amqps://: {LOOKS_LIKE}",
    "amqp_url = 'amqp://user@a'": f"amqp_url names a user without a password: {LOOKS_LIKE}",
    "amqp_url = 'amqp://user:se/cret@a'": f"amqp_url names no host and port where it should: {LOOKS_LIKE}",
    "amqp_url = 'amqp://a:99999'": f"amqp_url names no host and port where it should: {LOOKS_LIKE}",
    "amqp_url = 'amqp://a,,b'": f"amqp_url names no host and port where it should: {LOOKS_LIKE}",
    "amqp_url = 'amqp://[::1'": f"amqp_url names no host and port where it should: {LOOKS_LIKE}",
    "passive_declares = 'yes'": "passive_declares must be true or false, not a string",
    "topic_prefix = 1.5": "topic_prefix must be a string, not a number with a fraction",
    "topic_prefix = 2026-11-24": "topic_prefix must be a string, not a date",
    "publish_priority = 256": "publish_priority = 256 must be 0 to 255",
    "publish_priority = -1": "publish_priority = -1 must be 0 to 255",
    "publish_priority = true": "publish_priority must be a whole number, not true or false",
    "tls = 'a'": "tls must be a table, not a string",
    "[tls]\nca_certs = 'a'": "unknown key 'tls.ca_certs' (valid ones are: ca_cert, certfile, keyfile)",
    "[tls]\nca_cert = 1": "tls.ca_cert must be a string, not a whole number",
    "[tls]\ncertfile = 'a'": "[tls] needs certfile and keyfile, or neither: "
    "they are the client's certificate and its key",
    "[tls]\nkeyfile = 'a'\ncertfile = ''": "[tls] needs certfile and keyfile, or neither: "
    "they are the client's certificate and its key",
    "[client_properties]\na = [1]": "client_properties.a must be a string",
    "exchanges.a.type = 1": "exchanges.a.type must be a string, not a whole number",
    "exchanges.a.durable = 1": "exchanges.a.durable must be true or false, not a whole number",
    "exchanges.a.arguments = 1": "exchanges.a.arguments must be a table, not a whole number",
    "exchanges.a.typ = 1": "unknown key 'exchanges.a.typ' (valid ones are: type, durable, auto_delete, arguments)",
    "queues.q = {durable = 1, auto_delete = true, exclusive = true, arguments = {}}": "queues.q.durable must be "
    "true or false, not a whole number",
    "queues.q = {durable = true, auto_delete = true, exclusive = true, arguments = 1}": "queues.q.arguments must be "
    "a table, not a whole number",
    "queues.q = {durable = true, auto_delete = true, exclusive = true, arguments = {}, ttl = 1}": "unknown key "
    "'queues.q.ttl' (valid ones are: durable, auto_delete, exclusive, arguments, passive)",
    'queues."" = {durable = 1, auto_delete = true, exclusive = true, arguments = {}}': 'queues."".durable must be '
    "true or false, not a whole number",
    "bindings = ['a']": "bindings must be a list of tables, each under [[bindings]]",
    "[[bindings]]\nexchange = 'a'\nrouting_keys = [1]": "bindings[0].routing_keys must be a list of strings",
    "[[bindings]]\nexchange = 'a'\nrouting_keys = []\nrouting_key = 'x'": "unknown key 'bindings[0].routing_key' "
    "(valid ones are: queue, exchange, routing_keys)",
    "[[bindings]]\nexchange = 1\nrouting_keys = []": "bindings[0].exchange must be a string, not a whole number",
    "callback = 5": "callback must be a string, not a whole number",
    "consumer_config = 5": "consumer_config must be a table, not a whole number",
    "qos = 5": "qos must be a table, not a whole number",
    "[qos]\nprefetch_count = 65536": "qos.prefetch_count = 65536 must be 0 to 65535",
    "[qos]\nprefetch = 5": "unknown key 'qos.prefetch' (valid ones are: prefetch_count, prefetch_size)",
    "[monitoring]\nport = '8000'": "monitoring.port must be a whole number, not a string",
    "[monitoring]\nport = 1\naddress = 5": "monitoring.address must be a string, not a whole number",
    "log_config = 5": "log_config must be a table, not a whole number",
}


@pytest.mark.parametrize(("text", "complaint"), REFUSED_BY_US.items())
def test_what_fedora_messaging_would_stumble_over_is_refused_with_what_to_do(
    file: Path, text: str, complaint: str
) -> None:
    assert refusal(file, text) == complaint


def test_errors_and_representation_hold_no_password(file: Path) -> None:
    for text in ("amqp_url = 'amqp://user:secret'", "amqp_url = ['amqp://user:secret@a']", "topic_prefix = ['secret']"):
        assert "secret" not in refusal(file, text)

    file.write_text("amqp_url = 'amqp://user:secret@broker:1/vhost'", encoding="utf-8")
    assert "secret" not in repr(read(file))
    assert read(file).brokers() == ["broker:1"]


def test_several_brokers_have_commas_between_them(file: Path) -> None:
    file.write_text("amqp_url = 'AMQPS://u:p,@a, b:1,[::1]:2,[::2]/v?heartbeat=5'", encoding="utf-8")

    found = read(file)

    assert found.urls == [f"amqps://u:p,@{host}/v?heartbeat=5" for host in ("a", "b:1", "[::1]:2", "[::2]")]
    assert found.brokers() == ["a:5671", "b:1", "[::1]:2", "[::2]:5671"]


@pytest.mark.parametrize(("url", "name"), [("amqp://", "localhost:5672"), ("amqps://u:p@h/v", "h:5671")])
def test_broker_is_called_by_its_host_and_port(url: str, name: str) -> None:
    assert broker_name(url) == name


def test_defaults_are_a_queue_that_the_broker_names_and_that_gets_everything() -> None:
    found = AmqpSettings()

    assert found.queues == {"": {"durable": False, "auto_delete": True, "exclusive": True, "arguments": {}}}
    assert found.bindings == (Binding("", "amq.topic", ("#",)),)


def test_keys_that_the_file_sets_are_known(file: Path) -> None:
    file.write_text("Log_Config = {}\ntopic_prefix = ''", encoding="utf-8")

    assert read(file).keys == {"log_config", "topic_prefix"}


@pytest.fixture
def default_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "default.toml"
    monkeypatch.setattr(settings, "DEFAULT_FILE", path)
    return path


def test_configured_file_counts_over_that_of_the_environment_and_that_over_the_default_one(
    tmp_path: Path, default_file: Path
) -> None:
    for name in ("configured", "environment", "default"):
        (tmp_path / f"{name}.toml").write_text(f"topic_prefix = '{name}'", encoding="utf-8")
    configured, environment = str(tmp_path / "configured.toml"), {settings.VARIABLE: str(tmp_path / "environment.toml")}

    found = [find(configured, environment), find("", environment), find("", {})]

    assert [one.topic_prefix for one in found] == ["configured", "environment", "default"]
    assert [locate(configured, environment), locate("", environment), locate("", {settings.VARIABLE: ""})] == [
        (tmp_path / "configured.toml", "fedora-messaging.config"),
        (tmp_path / "environment.toml", "FEDORA_MESSAGING_CONF"),
        (default_file, "found"),
    ]


def test_without_any_file_there_are_defaults(default_file: Path) -> None:
    assert locate("", {}) == (None, "found")
    assert find("", {}) == AmqpSettings()


def test_file_that_is_named_and_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        find(str(tmp_path / "none"), {})

    assert str(error.value) == (
        f"{tmp_path}/none: cannot read fedora-messaging's configuration: No such file or directory: name a file that "
        f"is there in [fedora-messaging] config, or with FEDORA_MESSAGING_CONF in the environment"
    )


def test_file_that_is_no_text_is_an_error(file: Path) -> None:
    file.write_bytes(b"\xff")

    with pytest.raises(ConfigError, match="this is not TOML: 'utf-8' codec can't decode byte 0xff"):
        read(file)
