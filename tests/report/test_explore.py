"""The explorer: numbers of the kernel for the values that are asked, for this machine alone, one line for the rest."""

import http.client
import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from statistics import NormalDist

import jax
import pytest
from click.testing import CliRunner
from test_page import unpacked

import kernels
import sweep
from sweep.cli.main import main
from sweep.report.page.live import Live
from sweep.report.page.server import MOST_BYTES, Explorer

CONFIGS = Path(__file__).parents[2] / "configs"
RATES = CONFIGS / "doubling_rates.toml"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def explorer():
    ends = threading.Event()

    def look():
        if ends.is_set():
            raise KeyboardInterrupt

    def serve():
        with pytest.raises(KeyboardInterrupt):
            server.serve(look)

    with Explorer(Live.read(RATES), 0) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield server
        ends.set()
        thread.join()


def asked(explorer, method, path, body=None, **headers):
    port = explorer.server_address[1]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer, text


def evaluated(explorer, **fixed):
    answer, text = asked(explorer, "POST", "/evaluate", json.dumps({"fixed": fixed}), **JSON)
    return answer.status, json.loads(text)


def test_explorer_serves_a_page_that_may_speak_to_its_server_alone(explorer):
    answer, text = asked(explorer, "GET", "/")
    assert (answer.status, answer.getheader("Content-Type")) == (200, "text/html; charset=utf-8")
    assert "connect-src 'self'" in text.decode() and "default-src 'none'" in text.decode()
    assert answer.getheader("Access-Control-Allow-Origin") is None
    assert answer.getheader("X-Content-Type-Options") == "nosniff"
    assert explorer.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize("exponent", [0.05, 0.07, 0.2])
@pytest.mark.parametrize("fleet", [1e3, 1e6])
def test_explorer_answers_with_the_numbers_of_the_kernel(explorer, exponent, fleet):
    status, content = evaluated(explorer, scaling_exponent=exponent, fleet_size=fleet)
    assert status == 200
    variable, dims = content["variables"]["relative_loss"], content["dims"]
    run = {"reference_fleet": 16384.0, "reference_years": 2142.0 / 8766.0}
    with jax.enable_x64(True):
        for i, k in [(0, 5), (3, 100), (7, 200)]:
            at = {"doubling_rate": dims["doubling_rate"]["values"][i], "time": dims["time"]["values"][k]}
            expected = float(
                kernels.relative_loss(fleet, at["time"], at["doubling_rate"], scaling_exponent=exponent, **run)
            )
            assert unpacked(variable)[i, k] == pytest.approx(expected, rel=variable["error"] + 3e-7)  # of float32


def test_live_offers_what_the_outputs_need_and_the_reference_run_leaves_free(explorer):
    parameters = {one["name"]: one for one in explorer.live.parameters["fixed"]}
    assert set(parameters) == {"fleet_size", "scaling_exponent", "irreducible_share"}
    share, fleet = parameters["irreducible_share"]["values"], parameters["fleet_size"]
    assert share[0] == 0.0 and 0.9 < share[-1] < 1.0
    assert fleet["values"][fleet["at"]] == 16384.0 and fleet["values"][0] < 1e3 < 1e6 < fleet["values"][-1]


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ({"irreducible_share": 1.5}, "irreducible_share"),
        ({"fleet_size": -1}, "fleet_size"),
        ({"fleet_size": "many"}, "fleet_size: must be a finite number"),
        ({"fleet_size": True}, "fleet_size: must be a finite number"),
        ({"reference_fleet": 1.0}, 'unknown parameter "reference_fleet"'),
        ({"fleet": 1.0}, 'unknown parameter "fleet"'),
        ({"fleet_size": float("nan")}, "fleet_size: must be a finite number"),
        ({"fleet_size": 10**400}, "fleet_size: must be a finite number"),
    ],
)
def test_explorer_refuses_a_value_in_one_line(explorer, fixed, message):
    status, content = evaluated(explorer, **fixed)
    assert status == 400 and message in content["error"] and "\n" not in content["error"]


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("GET", "/evaluate", None, {}, 404),
        ("GET", "/../etc/passwd", None, {}, 404),
        ("POST", "/", "{}", JSON, 404),
        ("PUT", "/", "{}", JSON, 501),
        ("POST", "/evaluate", '{"fixed": {}}', {"Content-Type": "text/plain"}, 415),
        ("POST", "/evaluate", "{", JSON, 400),
        ("POST", "/evaluate", b"\xff", JSON, 400),
        ("POST", "/evaluate", "[]", JSON, 400),
        ("POST", "/evaluate", "[" * 60_000, JSON, 400),
        ("POST", "/evaluate", '{"fixed": {}, "model": "x"}', JSON, 400),
        ("POST", "/evaluate", '{"uncertain": []}', JSON, 400),
        ("POST", "/evaluate", "x", {**JSON, "Content-Length": "-1"}, 411),
        ("POST", "/evaluate", "x", {**JSON, "Content-Length": str(MOST_BYTES + 1)}, 413),
        ("GET", "/", None, {"Host": "evil.example"}, 403),
        ("GET", "/", None, {"Host": "127.0.0.1"}, 403),
        ("POST", "/evaluate", '{"fixed": {}}', {**JSON, "Origin": "http://evil.example"}, 403),
        ("POST", "/evaluate", '{"fixed": {}}', {**JSON, "Origin": "null"}, 403),
    ],
)
def test_explorer_refuses_what_its_page_does_not_ask(explorer, method, path, body, headers, status):
    answer, _ = asked(explorer, method, path, body, **headers)
    assert answer.status == status
    assert evaluated(explorer)[0] == 200


def test_explorer_gives_a_config_that_has_what_was_chosen(explorer, tmp_path):
    body = json.dumps({"fixed": {"scaling_exponent": 0.07}})
    answer, text = asked(explorer, "POST", "/config", body, **JSON)
    (tmp_path / "chosen.toml").write_text(json.loads(text)["toml"])
    chosen, written = (sweep.load(path).spec for path in (tmp_path / "chosen.toml", RATES))
    assert answer.status == 200 and chosen.fixed["scaling_exponent"].value == 0.07
    fixed = {**written.fixed, "scaling_exponent": chosen.fixed["scaling_exponent"]}
    assert chosen.fingerprint() == written.model_copy(update={"fixed": fixed}).fingerprint()


UNCERTAIN = """
loss = "total"
reference = "own"
outputs = ["relative_loss"]
dtype = "float64"
axes.time = {values = [1, 4, 10]}
fixed = {fleet_size = 10, reference_fleet = 1, reference_years = 1, scaling_exponent = 0.05}
distributions.doubling_rate = {distribution = "lognormal", low = 0.6, high = 4, source = "a paper"}
"""


@pytest.fixture(scope="module")
def uncertain(tmp_path_factory):
    path = tmp_path_factory.mktemp("uncertain") / "uncertain.toml"
    path.write_text(UNCERTAIN)
    return Live.read(path)


@pytest.mark.parametrize(("low", "high", "interval"), [(0.6, 4.0, 0.9), (1.0, 2.0, 0.5)])
def test_live_draws_the_bands_of_a_distribution_that_was_edited(uncertain, low, high, interval):
    numbers = {"low": low, "high": high, "interval": interval}
    content = uncertain.numbers({"uncertain": {"doubling_rate": numbers}, "fixed": {"fleet_size": 20.0}})
    variable, levels = content["variables"]["relative_loss_band"], content["dims"]["quantile"]["values"]
    assert variable["dims"] == ["time", "quantile"]
    # The loss falls with the rate: its quantiles are the losses at the other quantiles of the rate, in closed form.
    middle, half = math.log(low * high) / 2, math.log(high / low) / 2
    sigma = half / NormalDist().inv_cdf(0.5 + interval / 2)
    with jax.enable_x64(True):
        for i, time in enumerate(content["dims"]["time"]["values"]):
            for j, level in enumerate(levels):
                rate = math.exp(NormalDist(middle, sigma).inv_cdf(1.0 - level))
                loss = float(kernels.relative_loss(20.0, time, rate, scaling_exponent=0.05))
                assert unpacked(variable)[i, j] == pytest.approx(loss, abs=2e-3)


def test_live_offers_the_numbers_of_distributions_with_the_ends_of_their_domain(uncertain):
    (one,) = uncertain.parameters["uncertain"]
    assert (one["name"], one["kind"]) == ("doubling_rate", "lognormal")
    fields = {field["key"]: (field["value"], field["least"], field["most"]) for field in one["fields"]}
    assert fields == {"low": (0.6, None, None), "high": (4.0, None, None), "interval": (0.9, 1e-6, 0.999999)}


def test_config_of_an_edited_distribution_runs_as_it_was_looked_on(uncertain, tmp_path):
    changes = {"uncertain": {"doubling_rate": {"low": 1.0, "high": 2.0}}, "fixed": {"fleet_size": 20.0}}
    text = uncertain.config(changes)["toml"]
    (tmp_path / "chosen.toml").write_text(text)
    chosen = sweep.load(tmp_path / "chosen.toml").spec
    given = {**uncertain.spec.distributions["doubling_rate"].canonical(), "low": 1.0, "high": 2.0}
    assert chosen.distributions["doubling_rate"].canonical() == given
    assert chosen.distributions["doubling_rate"].source == "chosen while exploring"
    assert chosen.fixed["fleet_size"].value == 20.0 and "axes.draw" not in text
    assert chosen.draws == uncertain.spec.draws and chosen.outputs == uncertain.spec.outputs
    (tmp_path / "same.toml").write_text(uncertain.config({})["toml"])
    assert sweep.load(tmp_path / "same.toml").fingerprint == uncertain.problem.fingerprint
    done = CliRunner().invoke(main, ["run", str(tmp_path / "chosen.toml"), "--netcdf", str(tmp_path / "a.nc")])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"doubling_rate": {"low": 5.0}}, "distributions.doubling_rate.low: must be below high, got low=5.0, high=4.0"),
        ({"doubling_rate": {"low": -1.0}}, "distributions.doubling_rate.low: must be > 0"),
        ({"doubling_rate": {"low": "x"}}, "distributions.doubling_rate.low: must be a finite number"),
        ({"doubling_rate": {"low": True}}, "distributions.doubling_rate.low: must be a finite number"),
        (
            {"doubling_rate": {"interval": 2.0}},
            "distributions.doubling_rate.interval: must be less than or equal to 0.9",
        ),
        ({"doubling_rate": {"mode": 2.0}}, 'unknown number of doubling_rate "mode"; allowed: low, high, interval'),
        ({"doubling_rate": 3.0}, "distributions.doubling_rate: must be {key: number, ...}"),
        ({"fleet_size": {"low": 1.0}}, 'unknown distribution "fleet_size"; allowed: doubling_rate'),
    ],
)
def test_live_refuses_a_number_of_a_distribution_in_one_line(uncertain, changes, message):
    with pytest.raises(sweep.SpecError) as raised:
        uncertain.numbers({"uncertain": changes})
    assert str(raised.value).startswith(message)


def test_live_looks_on_fewer_draws_and_says_so(uncertain):
    assert uncertain.spec.draws.number == 4096
    assert "The page has 1,024 of 4,096 draws" in uncertain.page("")


def test_explorer_refuses_a_port_that_is_taken(explorer):
    with pytest.raises(sweep.SpecError, match=r"^--port: \d+ cannot be listened at: .*; give another, or 0$"):
        Explorer(explorer.live, explorer.server_address[1])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("front_loading.toml", "is solved, not evaluated"),
        ("loss_bands.toml", "reduces 1,003,622,400 points, at most 2,000,000"),
        ("no.toml", "cannot be read"),
    ],
)
def test_explore_refuses_in_one_line(config, message):
    done = CliRunner().invoke(main, ["explore", str(CONFIGS / config), "--no-browser"])
    assert done.exit_code == 2 and message in done.output and done.output.count("\n") == 1


def test_explore_prints_its_address_and_ends_with_an_interrupt():
    # An interrupt is ignored in what a shell runs in the background.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from sweep.cli.main import main; "
    command = [sys.executable, "-c", f"{code}main()", "explore", str(RATES), "--no-browser"]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=CONFIGS.parent)
    try:
        address = started.stdout.readline().split()[0]
        port = int(address.rstrip("/").rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=60):
            os.kill(started.pid, signal.SIGINT)
            out, error = started.communicate(timeout=60)
    finally:
        started.kill()
    assert (started.returncode, out, error) == (130, "", "stopped\n")
