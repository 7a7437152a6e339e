"""Pages are behind the same keys as the interface: a cookie for people, tokens in forms, no action by GET."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.testclient import TestClient

from forekey.console import create_app
from forekey.errors import ServeError
from forekey.workspace import Workspace

PAGES = ("/", "/console/monitor", "/console/graph", "/console/ask", "/console/task/churn", "/console/answers/x")


@pytest.fixture(scope="module")
def locked(trained_project: Workspace) -> Iterator[TestClient]:
    with trained_project.store() as store, TestClient(create_app(trained_project, store, ("k1", "k2"))) as client:
        yield client


@pytest.fixture
def visitor(locked: TestClient) -> TestClient:
    locked.cookies.clear()
    return locked


def token(client: TestClient, place: str = "/console/signin") -> str:
    found = re.search(r'name="token" value="(\w+)"', client.get(place).text)
    assert found is not None
    return found[1]


def sign_in(client: TestClient, key: str = "k2", to: str = "") -> int:
    form = {"token": token(client), "key": key, "next": to}
    answer = client.post("/console/signin", data=form, follow_redirects=False)
    return answer.status_code


@pytest.mark.parametrize("place", PAGES)
def test_without_a_key_a_page_asks_for_one(visitor: TestClient, place: str) -> None:
    answer = visitor.get(place, follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/console/signin?next=%2F")
    assert "churn" not in visitor.get("/console/signin").text


def test_a_pasted_key_opens_pages_and_leads_to_what_was_asked_for(visitor: TestClient) -> None:
    assert sign_in(visitor, "wrong") == 401
    assert visitor.get("/", follow_redirects=False).status_code == 303
    form = {"token": token(visitor), "key": " k1 ", "next": "/console/graph"}
    answer = visitor.post("/console/signin", data=form, follow_redirects=False)
    assert answer.headers["location"] == "/console/graph"
    cookie = answer.headers["set-cookie"]
    assert "k1" not in cookie
    for word in ("HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=43200"):
        assert word in cookie
    assert all(visitor.get(place).status_code in {200, 404} for place in PAGES)
    assert visitor.post("/console/signout", data={"token": token(visitor, "/")}).status_code == 200
    assert visitor.get("/", follow_redirects=False).status_code == 303


@pytest.mark.parametrize(
    "to", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/docs"]
)
def test_signing_in_leads_nowhere_else(visitor: TestClient, to: str) -> None:
    form = {"token": token(visitor), "key": "k1", "next": to}
    answer = visitor.post("/console/signin", data=form, follow_redirects=False)
    assert answer.headers["location"] in {"/", "/console/"}


def test_the_cookie_is_for_pages_only_and_keys_for_the_interface(visitor: TestClient) -> None:
    assert sign_in(visitor) == 303
    assert visitor.get("/predict/churn/1").status_code == 401
    assert visitor.get("/status").status_code == 401
    visitor.cookies.clear()
    bearer = {"Authorization": "Bearer k1"}
    assert visitor.get("/status", headers=bearer).status_code == 200
    assert visitor.get("/", headers=bearer, follow_redirects=False).status_code == 303


def test_a_forged_or_foreign_cookie_is_worth_nothing(visitor: TestClient, trained_project: Workspace) -> None:
    assert sign_in(visitor) == 303
    ((name, good),) = visitor.cookies.items()
    with trained_project.store() as store, TestClient(create_app(trained_project, store, ("other",))) as other:
        other.cookies.set(name, good)  # the keys have changed since
        assert other.get("/", follow_redirects=False).status_code == 303
    for bad in (good[:-2], good.replace(".", ".x", 1), "", "x", "e30.e30.e30"):
        visitor.cookies.clear()
        visitor.cookies.set(name, bad)
        assert visitor.get("/", follow_redirects=False).status_code == 303


@pytest.mark.parametrize("place", ["/console/signin", "/console/signout", "/console/ask", "/console/answers"])
def test_a_form_without_our_token_is_refused(visitor: TestClient, place: str) -> None:
    assert sign_in(visitor) == 303
    for form in ({}, {"token": ""}, {"token": "a" * 64}, {"token": "ü"}):
        answer = visitor.post(place, data={**form, "q": "PREDICT", "key": "k1"}, follow_redirects=False)
        assert answer.status_code == 403
    own = token(visitor, "/console/ask")
    visitor.cookies.clear()  # a token of another visit
    assert visitor.post(place, data={"token": own, "key": "k1"}, follow_redirects=False).status_code in {303, 403}
    assert visitor.get("/", follow_redirects=False).status_code == 303


@pytest.mark.parametrize("place", ["/console/signout", "/console/answers"])
def test_nothing_is_changed_by_looking(visitor: TestClient, place: str) -> None:
    assert sign_in(visitor) == 303
    assert visitor.get(place).status_code == 405
    assert visitor.get("/").status_code == 200


def test_a_long_form_is_refused(visitor: TestClient) -> None:
    assert sign_in(visitor) == 303
    assert visitor.post("/console/ask", data={"q": "x" * 300_000}).status_code == 413


@pytest.mark.parametrize("place", [*PAGES, "/console/signin", "/console/static/console.css", "/console/nothing"])
def test_every_answer_forbids_what_pages_do_not_need(visitor: TestClient, place: str) -> None:
    assert sign_in(visitor) == 303
    headers = visitor.get(place).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"


def test_the_secret_of_cookies_is_for_the_owner_only(trained_project: Workspace) -> None:
    path = trained_project.place("serving") / "console.secret"
    assert path.stat().st_mode & 0o077 == 0


def test_a_report_may_run_nothing(visitor: TestClient) -> None:
    assert sign_in(visitor) == 303
    answer = visitor.get("/console/task/churn/report/v1")
    assert answer.status_code == 200
    assert "sandbox" in answer.headers["content-security-policy"]
    for path in ("/console/task/churn/report/%2e%2e", "/console/task/churn/report/v99", "/console/task/nope/report/v1"):
        assert visitor.get(path).status_code == 404


def test_a_link_from_elsewhere_signs_nobody_out(visitor: TestClient) -> None:
    assert sign_in(visitor) == 303
    kept = dict(visitor.cookies)
    visitor.cookies.clear()  # what a browser sends with a form of another site
    for answer in (
        visitor.post("/console/ask", data={"q": "x"}, follow_redirects=False),
        visitor.get(
            "/console/task/churn/explain?key=1", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
        ),
        visitor.get("/", follow_redirects=False),
    ):
        assert answer.status_code in {303, 403}
        assert "set-cookie" not in answer.headers
    assert len(kept) == 1


def test_who_signed_out_is_out(visitor: TestClient) -> None:
    assert sign_in(visitor) == 303
    ((name, cookie),) = visitor.cookies.items()
    visitor.post("/console/signout", data={"token": token(visitor, "/console/ask")})
    visitor.cookies.set(name, cookie)
    assert visitor.get("/", follow_redirects=False).status_code == 303


def test_projects_side_by_side_have_cookies_of_their_own(visitor: TestClient, shop_project: Workspace) -> None:
    assert sign_in(visitor) == 303
    ((name, _),) = visitor.cookies.items()
    with TestClient(create_app(shop_project)) as other:
        other.get("/")
        assert set(other.cookies) != {name}
        assert len(other.cookies) == 1


def test_a_part_of_a_page_is_no_sign_in_page(visitor: TestClient) -> None:
    answer = visitor.get("/console/task/churn/explain?key=1&part=1", follow_redirects=False)
    assert answer.status_code == 401
    assert "form" not in answer.text


def test_what_was_asked_for_keeps_its_spelling(visitor: TestClient) -> None:
    place = "/console/task/churn/entity?key=a%2Fb%26c"
    asked = visitor.get(place, follow_redirects=False).headers["location"]
    form = {"token": token(visitor, asked), "key": "k1", "next": parse_qs(urlsplit(asked).query)["next"][0]}
    assert visitor.post("/console/signin", data=form, follow_redirects=False).headers["location"] == place


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "a.localhost.evil.example", "[::1].evil.example"],
)
def test_without_keys_no_other_name_leads_here(trained_project: Workspace, host: str) -> None:
    with trained_project.store() as store, TestClient(create_app(trained_project, store)) as client:
        for place in ("/", "/console/ask", "/console", "/status", "/predict/churn/1", "/docs"):
            answer = client.get(place, headers={"host": host}, follow_redirects=False)
            assert answer.status_code in {400, 307}
            assert "churn" not in answer.text
            assert "set-cookie" not in answer.headers
    with trained_project.store() as store, TestClient(create_app(trained_project, store, any_host=True)) as client:
        assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "10.1.2.3", "shop", "a.localhost"]
)
def test_this_machine_is_named_in_many_ways(trained_project: Workspace, host: str) -> None:
    with trained_project.store() as store, TestClient(create_app(trained_project, store)) as client:
        for place in ("/", "/status"):
            assert client.get(place, headers={"host": host}).status_code == 200


def test_an_unexpected_error_has_the_headers_too_and_says_nothing(
    trained_project: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from forekey.console import pages

    def broken(*_: object) -> None:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr(pages, "project_status", broken)
    app = create_app(trained_project, trained_project.store())
    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["x-frame-options"] == "DENY"


def test_processes_that_start_at_once_share_one_secret(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from forekey.console.sessions import _secret_of

    for number in range(20):
        path = tmp_path / str(number) / "console.secret"
        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(_secret_of, [path] * 8))) == 1
        assert list(path.parent.iterdir()) == [path]
    path.write_text("")
    with pytest.raises(ServeError, match="damaged"):
        _secret_of(path)
