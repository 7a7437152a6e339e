"""Passwords of every awkward kind: they work, and nothing that is printed, logged, served or written shows one."""

from __future__ import annotations

import io
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from ruamel.yaml import YAML

import forekey as fk
from forekey import pipeline
from forekey.console import create_app
from forekey.errors import ForekeyError, SourceError, StoreError
from forekey.project import CONFIG_NAME, Config, parse_config
from forekey.secrets import encoded, reason_without, remember, without_password, without_secrets
from forekey.serving.run import _Masked
from forekey.source import open_source
from forekey.store import open_store
from forekey.workspace import Workspace
from tests.support.servers import Postgres, run_all, running_mariadb, running_valkey

AWKWARD = (
    "p@ss:w/rd",
    "100%sure",
    "se/cret",
    "100%secret",
    "Zq4@Zq5",
    "Zq4:Zq5",
    "Zq4#Zq5",
    "Zq4?Zq5",
    "Zq4?db=Zq5@Zq6",
    "Zq4 Zq5",
    "Zq4&Zq5=Zq6",
    "pässwört-Zq",
    "Zq4%40Zq5",
    "'Zq4\"Zq5\\",
    "@:/%#? &=;+$Zq",
    "]Zq4[",
)
URLS = (
    "postgresql://shop:{}@127.0.0.1:1/keys",
    "postgresql://shop:{}@127.0.0.1:1/keys?sslmode=disable&application_name=x",
    "postgresql://127.0.0.1:1/keys?user=shop&password={}",
    "postgresql://127.0.0.1:1/keys?user=shop&sslpassword={}&sslmode=disable",
    "mysql://shop:{}@127.0.0.1:1/keys",
    "mariadb://shop:{}@127.0.0.1:port/keys",
    "mysql://shop:{}@127.0.0.1:1",
    "oracle://shop:{}@127.0.0.1:1/keys",
    "shop:{}@127.0.0.1:1/keys",
    "redis://:{}@127.0.0.1:1/0",
    "rediss://shop:{}@127.0.0.1:1/0",
    "redis://shop:{}@127.0.0.1:port/0",
    "unix://shop:{}@/nowhere/socket?db=0",
    "redis://127.0.0.1:1/0?password={}",
    "https://shop:{}@127.0.0.1:1",
    "https://127.0.0.1:1/?token={}",
)


def pieces(password: str) -> list[str]:
    """What must not be seen: the password in each spelling, and those parts of it that no word of a message has."""
    parts = [
        p for p in re.split(r"[^\wäö]+", password) if "Zq" in p or p in {"rd", "100", "sure", "cret", "100%secret"}
    ]
    return [password, quote(password, safe=""), *parts]


def assert_unseen(password: str, text: str) -> None:
    for piece in pieces(password):
        seen = re.search(rf"(?<!\w){re.escape(piece)}(?!\w)", text) if len(piece) < 4 else piece in text
        assert not seen, (piece, text)


@pytest.mark.parametrize("password", AWKWARD)
@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("written", ["as it is", "encoded"])
def test_a_url_is_shown_without_any_piece_of_its_password(password: str, url: str, written: str) -> None:
    given = url.replace("{}", quote(password, safe="") if written == "encoded" or "={}" in url else password)
    shown = without_password(given)
    assert_unseen(password, shown.replace("127.0.0.1", ""))
    assert "***" in shown


@pytest.mark.parametrize("password", AWKWARD)
@pytest.mark.parametrize("url", [u for u in URLS if u.startswith(("postgres", "mysql", "mariadb", "oracle", "shop"))])
def test_no_source_that_cannot_be_opened_shows_its_password(password: str, url: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(url.replace("{}", quote(password, safe="") if "={}" in url else password), tmp_path)
    assert_unseen(password, str(caught.value).replace("127.0.0.1", ""))


@pytest.mark.parametrize("password", AWKWARD)
@pytest.mark.parametrize("url", [u for u in URLS if u.startswith(("redis", "unix", "https"))])
def test_no_store_that_cannot_be_opened_shows_its_password(password: str, url: str, tmp_path: Path) -> None:
    given = url.replace("{}", quote(password, safe="") if "={}" in url else password)
    project = Workspace(tmp_path, Config(source="x", store=given))
    with pytest.raises(ForekeyError) as caught:
        project.store()
    assert_unseen(password, (str(caught.value) + repr(project) + str(project.config)).replace("127.0.0.1", ""))


@pytest.mark.parametrize("password", AWKWARD)
def test_a_variable_holds_the_password_as_it_is(password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", password)
    monkeypatch.setenv("PLACE", "db/shop")
    text = "\n".join(
        [
            "source: postgresql://shop:${SHOP_PASSWORD}@${PLACE}",
            "store: redis://:${SHOP_PASSWORD}@cache/0",
            "mlflow: 'https://host/?user=x&password=${SHOP_PASSWORD}'",
        ]
    )
    config = parse_config(text, "forekey.yaml")
    own = quote(password, safe="")
    assert config.source == f"postgresql://shop:{own}@db/shop"
    assert config.store == f"redis://:{own}@cache/0"
    assert config.mlflow == f"https://host/?user=x&password={own}"
    assert encoded(config.source) == config.source
    assert_unseen(password, repr(config))
    assert_unseen(password, repr(fk.Project(Workspace(Path(), config))))


def test_a_variable_elsewhere_or_of_a_whole_url_is_put_in_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHOLE", "postgresql://shop:p%40ss@db/shop")
    monkeypatch.setenv("PART", "a%20b/c")
    assert parse_config("source: ${WHOLE}", "x").source == "postgresql://shop:p%40ss@db/shop"
    assert parse_config("source: files:///${PART}", "x").source == "files:///a%20b/c"
    assert parse_config("source: 'postgresql://u@h/d?options=${PART}'", "x").source.endswith("=a%20b/c")


def test_a_driver_that_quotes_a_piece_of_the_password_is_not_repeated() -> None:
    url = "postgresql://shop:p@ss:w/rd@db/shop"
    said = 'invalid integer value "w" for connection option "port", host ss of p@ss:w/rd, token: "ss:w"'
    expected = 'invalid integer value "***" for connection option "port", host *** of ***, token: "***"'
    assert reason_without(said, url) == expected


def test_every_error_leaves_out_passwords_that_were_seen() -> None:
    remember("postgresql://shop:Zq8/geheim@db/shop")
    assert str(ForekeyError("row 'Zq8/geheim' of Zq8%2Fgeheim")) == "row '***' of ***"
    assert str(StoreError(3)) == "3"
    handler = logging.StreamHandler(text := io.StringIO())
    handler.setFormatter(_Masked())
    try:
        raise RuntimeError("at Zq8/geheim")
    except RuntimeError:
        handler.emit(logging.LogRecord("x", logging.ERROR, "x", 1, "failed at Zq8/geheim", None, sys.exc_info()))
    assert "Zq8" not in text.getvalue()
    assert text.getvalue().count("***") == 3  # in the line, in the source line of the traceback, in the error


@pytest.fixture(scope="module")
def guarded(postgres: Postgres) -> tuple[str, str]:
    """A database whose role ``guarded`` must give a password: its URL without one, and the administrator's."""
    url = postgres.database()
    import adbc_driver_postgresql.dbapi as adbc

    with adbc.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('hba_file')")
        rules = Path(cursor.fetchone()[0])  # type: ignore[index]
        cursor.execute("CREATE ROLE guarded LOGIN SUPERUSER")
        rules.write_text(f"local all guarded scram-sha-256\nhost all guarded all scram-sha-256\n{rules.read_text()}")
        cursor.execute("SELECT pg_reload_conf()")
    run_all(
        url,
        (
            "CREATE TABLE people (id INTEGER PRIMARY KEY, since TIMESTAMP)",
            "INSERT INTO people SELECT i, TIMESTAMP '2024-01-01' + i * INTERVAL '1 day' FROM generate_series(1, 50) i",
        ),
    )
    return re.sub(r"//[^@]*@", "//guarded@", url), url


@pytest.mark.parametrize("password", AWKWARD)
def test_postgres_is_opened_with_the_password_as_it_is_and_nothing_written_holds_it(
    guarded: tuple[str, str], password: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, admin = guarded
    literal = password.replace("'", "''")
    run_all(admin, (f"ALTER ROLE guarded PASSWORD '{literal}'",))
    monkeypatch.setenv("FOREKEY_PASSWORD", "")
    monkeypatch.delenv("FOREKEY_PASSWORD")
    typed = password if password not in {"Zq4%40Zq5", "Zq4?db=Zq5@Zq6"} else quote(password, safe="")
    done = pipeline.init(url.replace("guarded@", f"guarded:{typed}@"), tmp_path)
    kept = YAML(typ="safe").load((tmp_path / CONFIG_NAME).read_text())["source"]
    assert kept == url.replace("guarded@", "guarded:${FOREKEY_PASSWORD}@")
    assert os.environ["FOREKEY_PASSWORD"] == password
    project = Workspace.open(tmp_path)
    built = pipeline.snapshot(project)
    assert built.manifest.source == without_password(url.replace("guarded@", "guarded:x@"))
    monkeypatch.setenv("FOREKEY_PASSWORD", f"{password}x")
    with pytest.raises(SourceError, match="authentication failed") as caught:
        pipeline.snapshot(Workspace.open(tmp_path))
    drawing = tmp_path / "schema.svg"  # full of numbers: 100 is a place in it
    assert password not in drawing.read_text()
    written = "".join(p.read_text(errors="replace") for p in tmp_path.rglob("*") if p.is_file() and p != drawing)
    for text in (written, str(caught.value), repr(done), repr(project)):
        assert_unseen(password, text.replace(str(tmp_path), ""))


def test_a_variable_that_was_encoded_by_hand_is_said_to_be(
    guarded: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_all(guarded[1], ("ALTER ROLE guarded PASSWORD 'p@ss'",))
    monkeypatch.setenv("FOREKEY_PASSWORD", "p%40ss")
    with pytest.raises(SourceError, match="holds the password as it is, not percent-encoded"):
        pipeline.init(guarded[0].replace("guarded@", "guarded:${FOREKEY_PASSWORD}@"), tmp_path)


def test_mysql_takes_the_password_as_it_is(tmp_path: Path) -> None:
    with running_mariadb() as url:
        with open_source(url.replace("p%20w", "p w"), tmp_path) as source:
            assert source.url == url.replace("p%20w", "***")
        with pytest.raises(SourceError, match=r"u:\*\*\*@") as caught:
            open_source(url.replace("p%20w", "Zq4:Zq/5"), tmp_path)
        assert "Zq" not in str(caught.value)


@pytest.mark.parametrize("password", ["p@ss:w/rd", "100%sure"])
@pytest.mark.parametrize("given", ["in a variable", "to init"])
def test_the_commands_print_no_piece_of_a_password(password: str, given: str, tmp_path: Path) -> None:
    url = "postgresql://shop:{}@127.0.0.1:1/keys"
    if given == "in a variable":
        (tmp_path / CONFIG_NAME).write_text(
            f"source: {url.format('${FOREKEY_PASSWORD}')}\ntables: {{t: {{columns: {{}}}}}}\ntasks: {{}}\n"
        )
        arguments = ["check", "--json"]
    else:
        arguments = ["init", url.format(password), "-v"]
    done = subprocess.run(
        [sys.executable, "-c", "from forekey.cli import main; main()", *arguments],
        cwd=tmp_path,
        env=os.environ | {"FOREKEY_PASSWORD": password},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "'postgresql://shop:***@127.0.0.1:1/keys' does not answer" in done.stderr
    assert_unseen(password, (done.stdout + done.stderr).replace("127.0.0.1", ""))
    assert "refused" in done.stderr


def test_clients_of_a_service_whose_store_is_gone_see_no_password(trained_project: Workspace, tmp_path: Path) -> None:
    root = tmp_path / "project"
    shutil.copytree(trained_project.root, root)
    secret = "Zq4@Zq5:/%Zq6"
    with running_valkey(secret) as server:
        url = server.url
        given = url.replace("://", f"://:{secret}@")
        project = Workspace(root, trained_project.config.model_copy(update={"store": given}))
        with project.store() as store, TestClient(create_app(project, store)) as client:
            pipeline.embed(project, "churn")
            assert client.get("/predict/churn/7").status_code == 200
            with pytest.raises(StoreError) as caught:
                open_store(Workspace(root, Config(source="x", store=url.replace("://", "://:Zq9-wrong@"))))
            assert "Zq" not in str(caught.value)
            server.stop()
            for path in ("/predict/churn/7", "/predict/churn/7?mode=stored", "/tasks", "/tasks/churn", "/readyz", "/", "/console/task/churn",
                         "/console/task/churn/entity?key=7", "/console/task/churn/similar?key=7"):  # fmt: skip
                answer = client.get(path)
                assert answer.status_code in {200, 503}, answer.text
                assert "Zq" not in answer.text
            assert client.get("/predict/churn/7?mode=stored").json()["title"] == "StoreError"


def test_an_mlflow_that_does_not_answer_is_named_without_its_password(
    own_project: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    url = "http://shop:Zq4@Zq5/%Zq6@127.0.0.1:1"
    project = Workspace(own_project.root, own_project.config.model_copy(update={"mlflow": url}))
    report = pipeline.train(project, "spend", preset="fast")
    told = [note for note in report.notes if "MLflow" in note]
    assert told[0].startswith("MLflow at 'http://shop:***@127.0.0.1:1' did not take the run")
    assert "Zq" not in repr(report)
    assert "Zq" not in without_secrets(url)


@pytest.mark.parametrize(
    "url", ["sqlite://shop:hunter2@x", "duckdb://a:hunter2@b/c", "postgresql://shop:hunter2", "mysql://shop:hunter2/db"]
)
def test_a_password_where_none_belongs_is_hidden_too(url: str, tmp_path: Path) -> None:
    with pytest.raises(ForekeyError) as refused:
        pipeline.init(url, tmp_path)
    assert "hunter2" not in str(refused.value)
    assert "***" in str(refused.value)
