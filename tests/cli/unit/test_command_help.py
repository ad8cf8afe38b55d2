"""Every command of `wabus` teaches by examples, and the examples are commands that there are."""

import re
import shlex
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner
from wabus_cli.main import wabus


def commands(command: click.Command, *path: str) -> Iterator[tuple[str, click.Command]]:
    """All commands beneath one, with the words that call them."""
    if path:
        yield " ".join(path), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, *path, name)


COMMANDS = dict(commands(wabus))
EXAMPLE = re.compile(r"(?:^|[ (])wabus ([a-z].*?)(?:\s{3,}.*|\s*[|)].*)?$")


def examples(command: click.Command) -> list[str]:
    """What stands after `wabus` in the lines that are set apart in a command's help."""
    parts = (command.help or "").split("\b\n")[1:]
    lines = [line for part in parts for line in part.partition("\n\n")[0].splitlines()]
    return [found[1] for line in lines if (found := EXAMPLE.search(line))]


def test_all_commands_are_found() -> None:
    assert {"connect", "disconnect", "rebuild", "rotate-keys", "deadletter replay", "events tail"} <= COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_how_a_command_is_called(name: str) -> None:
    command = COMMANDS[name]
    shown = CliRunner().invoke(wabus, [*name.split(), "--help"]).output
    mine = [example for example in examples(command) if example.startswith(name)]
    assert mine
    assert all(f"wabus {example}" in shown for example in mine)


@pytest.mark.parametrize("name", COMMANDS)
def test_what_an_example_says_can_be_said(name: str) -> None:
    for example in examples(COMMANDS[name]):
        words = shlex.split(example)
        called = max((known for known in COMMANDS if words[: len(known.split())] == known.split()), key=len)
        command = COMMANDS[called]
        context = click.Context(command)
        given, left, _ = command.make_parser(context).parse_args(words[len(called.split()) :])
        assert not left, example
        for parameter in command.params:
            value = given.get(parameter.name or "")
            if isinstance(parameter.type, click.Choice) and isinstance(value, str):
                assert value in parameter.type.choices, example
