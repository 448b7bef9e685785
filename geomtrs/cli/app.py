"""The command `geomtrs`: its verbs, and the one place where an error becomes a line on stderr and an exit code."""

from __future__ import annotations

import difflib
import logging
import sys
from typing import Annotated

import typer

from geomtrs.cli import ask, audit, batch, craft, data, demo, detect, doctor, evaluate, model, plan, train, verify, view
from geomtrs.errors import QueryError
from tiling.errors import ExistsError, OptionError, TilingError

DONE, FAILED, ASKED_WRONGLY, IN_PART, INTERRUPTED = 0, 1, 2, 3, 130
_RESUMED = ("detect", "ask", "resume", "rerun")  # verbs whose runs are kept block by block

EPILOG = """Examples:

  geomtrs detect 2019.tif 2023.tif -q "the buildings that appeared" -o out/

  geomtrs detect a.tif b.tif c.tif -q "forest that was cleared" -q "new roads" -o out/ --format shp

  geomtrs plan 2019.tif 2023.tif

Limits against hostile files are raised by GEOMTRS_MAX_BLOCK_MB, GEOMTRS_MAX_RASTER_GPX and GEOMTRS_TRUST_REFERENCES (SECURITY.md).

Exit codes: 0 done (nothing found is done), 1 failed, 2 asked wrongly, 3 done but some parts failed, 130 interrupted.
"""

app = typer.Typer(
    name="geomtrs",
    help="Ask a sentence of two satellite images, get the changed things back as GIS layers.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("detect")(detect.detect)
app.command("ask")(ask.ask)
app.command("batch")(batch.batch)
app.command("plan")(plan.plan)
app.command("resume")(plan.resume)
app.command("rerun")(plan.rerun)
app.command("verify")(verify.verify)
app.command("view")(view.view)
app.add_typer(model.app, name="model")
app.add_typer(data.app, name="data")
app.add_typer(craft.app, name="craft")
app.add_typer(train.app, name="train")
app.command("audit")(audit.audit)
app.command("evaluate")(evaluate.evaluate)
app.command("bench")(evaluate.bench)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        import geomtrs

        print(f"geomtrs {geomtrs.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before the verb."""


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits with its code; errors are one line, `--debug` shows where they came from."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    logging.basicConfig(level=logging.DEBUG if debug else logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
    try:
        code = app([a for a in arguments if a != "--debug"], standalone_mode=False)
    except KeyboardInterrupt:
        sys.exit(_interrupted(arguments))
    except TilingError as error:
        if debug:
            raise
        _say(f"error: {error}")
        sys.exit(ASKED_WRONGLY if _asked_wrongly(error) else FAILED)
    except Exception as error:  # typer's own usage errors, and whatever nobody foresaw
        if debug:
            raise
        sys.exit(_usage_or_bug(error, arguments))
    # Some releases of typer take Ctrl-C themselves, and only return its code.
    sys.exit(_interrupted(arguments) if code == INTERRUPTED else code if isinstance(code, int) else DONE)


def _asked_wrongly(error: TilingError) -> bool:
    """What another command line would cure; the rest is a failure."""
    kinds = QueryError | OptionError | ExistsError
    return isinstance(error, kinds) or error.found in ("no such model", "an unknown option")


def _usage_or_bug(error: Exception, arguments: list[str]) -> int:
    # Some releases of typer carry a click of their own, so its errors are known by what they offer, not by their class.
    if type(error).__name__ == "Abort":  # what typer makes of Ctrl-C inside a command
        return _interrupted(arguments)
    if hasattr(error, "format_message"):
        message = error.format_message().rstrip(".?")
        if message:  # empty where nothing was asked: then the help has been printed
            _say(f"error: {message}; remedy: {_remedy(error)}")
        return ASKED_WRONGLY
    _say(f"error: {type(error).__name__}: {error} (a fault of geomtrs: run again with --debug and report it)")
    return FAILED


def _remedy(error: Exception) -> str:
    """The nearest option there is, else the help of the verb that was used."""
    near = difflib.get_close_matches(getattr(error, "option_name", ""), getattr(error, "possibilities", None) or (), 1)
    path = getattr(getattr(error, "ctx", None), "command_path", "geomtrs")
    verb = " ".join(["geomtrs", *path.split()[1:]])  # whatever the program was started as
    return f"did you mean {near[0]}?" if near else f"see {verb} --help"


def _interrupted(arguments: list[str]) -> int:
    verbs = [a for a in arguments if not a.startswith("-")]
    if verbs[:1] == ["train"]:
        kept = "the same command goes on from the last checkpoint, if there is one"
    elif verbs[:2] == ["craft", "run"] or verbs[:1] == ["batch"]:
        kept = "what is finished is kept: the same command goes on"
    elif verbs and verbs[0] in _RESUMED:
        kept = "what is finished is kept: the same command goes on, or geomtrs resume DIR"
    else:
        kept = "the same command begins anew"
    _say(f"interrupted; {kept}")
    return INTERRUPTED


def _say(line: str) -> None:
    print(" ".join(line.split()), file=sys.stderr)
