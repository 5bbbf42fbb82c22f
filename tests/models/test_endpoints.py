"""Endpoints in the catalog: whose models are listed, which one is the default, and what is found, added and removed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import event, update

from chatsite.database import db, utcnow, write_transaction
from chatsite.engine.catalog.catalog import EMBEDDED_MODEL
from chatsite.engine.catalog.endpoints import Endpoint, RemoteModel
from chatsite.engine.remote.families import FAMILIES, Continuation
from chatsite.errors import EndpointConfiguredError, EndpointNotFoundError, ModelNotFoundError
from chatsite.errors import endpoints as endpoint_errors
from chatsite.models import EndpointDiscovery, EndpointState, ModelState
from chatsite.services.models import catalog, choice, endpoint_status, endpoints, status
from chatsite.services.models.catalog import CatalogConfig
from chatsite.services.models.endpoint_status import EndpointFacts
from chatsite.services.models.status import WeightsStatus

OLLAMA = Endpoint("ollama", "http://127.0.0.1:11434/v1")
CLOUD = Endpoint("cloud", "https://models.example.com/v1")
AUTO = CatalogConfig()
WITH_SETTING = CatalogConfig(endpoint=OLLAMA.url)


@pytest.fixture
def database(any_app: Flask) -> Iterator[None]:
    with any_app.app_context():
        yield
        db.session.remove()


pytestmark = pytest.mark.usefixtures("database")


def save(endpoint: Endpoint, *ids: str, places: int = 2) -> None:
    endpoint_status.save_facts(
        endpoint, EndpointFacts("ollama", [RemoteModel(each, context_tokens=8192) for each in ids], max_answers=places)
    )


def fail(endpoint: Endpoint) -> None:
    endpoint_status.save_failure(endpoint, endpoint_errors.EndpointUnreachableError(endpoint=endpoint.name))


def add(endpoint: Endpoint, *ids: str) -> None:
    endpoints.add_endpoint(endpoint)
    save(endpoint, *ids)


def remote_names(config: CatalogConfig) -> list[str]:
    return [card.name for card in catalog.list_available(config) if card.entry.is_remote]


def test_models_of_endpoint_stand_beside_local_ones() -> None:
    add(OLLAMA, "llama3.2:3b", "hf.co/someone/model")
    assert remote_names(AUTO) == ["ollama/llama3.2:3b", "ollama/hf.co/someone/model"]
    card = catalog.get_card(AUTO, "ollama/llama3.2:3b")
    assert card.is_ready
    assert card.entry.context_tokens == 8192
    assert not card.can_pull
    assert not card.can_remove
    assert choice.validate(AUTO, card.name, None).model == card.name


def test_found_server_is_used_only_once_it_is_added() -> None:
    endpoint_status.finish_discovery(AUTO, [(OLLAMA, EndpointFacts("ollama", [RemoteModel("llama")]))])
    assert remote_names(AUTO) == []
    assert [card.name for card in endpoints.list_found(AUTO)] == ["ollama"]
    endpoints.add("ollama")
    assert remote_names(AUTO) == ["ollama/llama"]
    assert endpoints.list_found(AUTO) == []
    endpoints.remove(AUTO, "ollama")
    assert [card.name for card in endpoints.list_found(AUTO)] == ["ollama"]
    with pytest.raises(ModelNotFoundError):
        catalog.get_card(AUTO, "ollama/llama")


def test_server_that_is_gone_is_forgotten_unless_it_was_added() -> None:
    both = [(each, EndpointFacts("unknown", [RemoteModel("m")])) for each in (OLLAMA, CLOUD)]
    endpoint_status.finish_discovery(AUTO, both)
    endpoints.add("ollama")
    endpoint_status.finish_discovery(AUTO, [])
    assert endpoints.list_found(AUTO) == []
    assert remote_names(AUTO) == ["ollama/m"]
    with pytest.raises(EndpointNotFoundError):
        endpoints.add("cloud")


def test_look_changes_nothing_of_what_is_known_of_endpoints_of_the_site() -> None:
    """It asks without key and limits; what the site knows was found out with both."""
    learned = {"continue": {"llama": False}}
    endpoint_status.save_facts(OLLAMA, EndpointFacts("ollama", [RemoteModel("llama")], learned, 3))
    add(CLOUD, "large")
    found = EndpointFacts("unknown", [RemoteModel("other")], {}, 1)
    endpoint_status.finish_discovery(WITH_SETTING, [(OLLAMA, found), (CLOUD, found)])
    assert remote_names(WITH_SETTING) == ["ollama/llama", "cloud/large"]
    facts = endpoint_status.find_facts(OLLAMA)
    assert facts is not None
    assert (facts.family, facts.capabilities, facts.max_answers) == ("ollama", learned, 3)


@pytest.mark.parametrize(("told", "limit"), [(16, 4), (2, 2), (0, 1), (10**15, 4)])
def test_limit_is_the_administrators(told: int, limit: int) -> None:
    endpoint_status.save_facts(OLLAMA, EndpointFacts("llama-cpp", [RemoteModel("m")], max_answers=told))
    facts = endpoint_status.find_facts(OLLAMA)
    assert facts is not None
    assert facts.max_answers == limit


def test_servers_that_never_continue_are_known() -> None:
    never = {name for name, family in FAMILIES.items() if family.continuation is Continuation.NEVER}
    assert never == endpoints.FAMILIES_WITHOUT_CONTINUATION
    for name in FAMILIES:
        endpoint_status.save_facts(CLOUD, EndpointFacts(name, [RemoteModel("m")]))
        assert endpoints.can_continue("cloud/m") is (name not in never)
    assert endpoints.can_continue("smollm2-135m-instruct")
    assert endpoints.can_continue(None)


def test_endpoint_of_settings_cannot_be_removed() -> None:
    with pytest.raises(EndpointConfiguredError):
        endpoints.remove(WITH_SETTING, "ollama")
    with pytest.raises(EndpointNotFoundError):
        endpoints.remove(WITH_SETTING, "nobody")
    endpoints.request_check(WITH_SETTING, "ollama")
    [card] = endpoints.list_cards(WITH_SETTING)
    assert card.is_checking
    fail(OLLAMA)
    db.session.expire_all()
    [card] = endpoints.list_cards(WITH_SETTING)
    assert not card.is_checking
    assert str(card.error) == "ollama cannot be reached."


def test_what_is_stored_of_another_address_says_nothing() -> None:
    add(Endpoint("ollama", "http://10.0.0.1:11434/v1"), "other")
    [card] = endpoints.list_cards(WITH_SETTING)
    assert (card.state, card.models) == (EndpointState.UNKNOWN, ())
    save(OLLAMA, "llama")
    assert remote_names(WITH_SETTING) == ["ollama/llama"]


def test_models_stay_known_while_their_endpoint_is_away() -> None:
    add(OLLAMA, "llama")
    fail(OLLAMA)
    card = catalog.get_card(AUTO, "ollama/llama")
    assert (card.download_state, card.is_ready, card.is_usable) == (ModelState.FAILED, False, True)
    assert str(card.error) == "ollama cannot be reached."
    assert choice.is_available(AUTO, "ollama/llama")


def test_setting_makes_first_model_the_default_while_it_answers() -> None:
    assert catalog.default_name(WITH_SETTING) == EMBEDDED_MODEL
    save(OLLAMA, "llama", "qwen")
    assert catalog.default_name(WITH_SETTING) == "ollama/llama"
    assert [card.name for card in catalog.list_cards(WITH_SETTING) if card.is_default] == ["ollama/llama"]
    fail(OLLAMA)
    assert catalog.default_name(WITH_SETTING) == EMBEDDED_MODEL


def test_owner_chooses_another_default() -> None:
    add(CLOUD, "large")
    save(OLLAMA, "llama", "qwen")
    catalog.choose_default(WITH_SETTING, "cloud/large")
    assert catalog.default_name(WITH_SETTING) == "cloud/large"
    status.finish(EMBEDDED_MODEL, WeightsStatus(ModelState.READY))
    catalog.choose_default(WITH_SETTING, EMBEDDED_MODEL)
    assert catalog.default_name(WITH_SETTING) == EMBEDDED_MODEL
    catalog.choose_default(WITH_SETTING, "cloud/large")
    endpoints.remove(WITH_SETTING, "cloud")
    assert catalog.default_name(WITH_SETTING) == "ollama/llama"


def test_default_model_of_settings_may_be_of_an_endpoint() -> None:
    config = CatalogConfig("ollama/llama", endpoint=OLLAMA.url)
    card = catalog.get_card(config, "ollama/llama")
    assert card.is_default
    assert not card.is_ready
    assert [each.name for each in catalog.list_cards(config) if each.is_default] == ["ollama/llama"]
    save(OLLAMA, "llama")
    card = catalog.get_card(config, "ollama/llama")
    assert (card.is_default, card.is_ready, card.entry.context_tokens) == (True, True, 8192)


def test_file_bounds_models_of_endpoint(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text('[cloud]\nendpoint = "https://models.example.com/v1"\nmodels = ["b", "unlisted"]\n', "utf-8")
    config = CatalogConfig(custom_models_file=file)
    save(CLOUD, "a", "b", "c")
    assert remote_names(config) == ["cloud/b", "cloud/unlisted"]
    [card] = endpoints.list_cards(config)
    assert card.unlisted_count == 0


def test_ids_that_no_page_or_column_can_hold_are_left_out(tmp_path: Path) -> None:
    add(OLLAMA, "llama", "a\ud800b", "a\x9b31m", "tfel\u202e")
    assert remote_names(AUTO) == ["ollama/llama"]
    file = tmp_path / "models.toml"
    file.write_text(f'[cloud]\nendpoint = "https://models.example.com/v1"\nmodels = ["b", "{"x" * 199}"]\n', "utf-8")
    assert remote_names(CatalogConfig(custom_models_file=file)) == ["cloud/b", "ollama/llama"]


def test_clouds_models_are_listed_up_to_a_bound() -> None:
    names = [f"m{number}" for number in range(endpoints.MAX_LISTED_MODELS + 7)]
    add(CLOUD, *names, "x" * 300)
    assert len(remote_names(AUTO)) == endpoints.MAX_LISTED_MODELS
    [card] = endpoints.list_cards(AUTO)
    # A name that no column could hold is left out.
    assert card.unlisted_count == 7


def test_look_for_servers_is_claimed_once_and_ends() -> None:
    assert endpoints.get_discovery_status().finished_at is None
    endpoints.request_discovery()
    endpoints.request_discovery()
    assert endpoints.get_discovery_status().is_looking
    assert endpoint_status.has_discovery_request()
    assert endpoint_status.claim_discovery()
    assert not endpoint_status.claim_discovery()
    endpoint_status.finish_discovery(AUTO, [])
    assert not endpoints.get_discovery_status().is_looking
    assert not endpoint_status.claim_discovery()
    endpoints.request_discovery()
    assert endpoint_status.claim_discovery()


def test_look_of_dead_runner_is_claimed_again() -> None:
    endpoints.request_discovery()
    assert endpoint_status.claim_discovery()
    ago = utcnow() - timedelta(seconds=endpoint_status.DISCOVERY_LEASE_SECONDS + 1)
    with write_transaction() as tx:
        tx.execute(update(EndpointDiscovery).values(claimed_at=ago))
    assert endpoint_status.claim_discovery()


def test_look_that_no_runner_came_for_is_over() -> None:
    endpoints.request_discovery()
    with write_transaction() as tx:
        tx.execute(update(EndpointDiscovery).values(requested_at=utcnow() - endpoints.MAX_LOOKING))
    db.session.expire_all()
    assert not endpoints.get_discovery_status().is_looking
    assert not endpoint_status.claim_discovery()


@pytest.mark.parametrize("config", [AUTO, WITH_SETTING], ids=["none", "setting"])
def test_catalog_takes_two_queries(any_app: Flask, config: CatalogConfig) -> None:
    add(OLLAMA, *(f"m{number}" for number in range(50)))
    add(CLOUD, "large")
    db.session.remove()
    statements: list[str] = []

    def note(*args: object) -> None:
        statements.append(str(args[2]))

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        assert len(catalog.list_cards(config)) > 50
        assert len([each for each in statements if each.startswith("SELECT")]) == 2
        db.session.remove()
        statements.clear()
        catalog.get_card(config, EMBEDDED_MODEL)
        # The row of the model, and the candidates for the default; those of a setting are with their endpoints.
        assert len([each for each in statements if each.startswith("SELECT")]) <= (3 if config.endpoint else 2)
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
