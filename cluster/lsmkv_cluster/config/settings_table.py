"""Settings for people: the table of the documents, a configuration as TOML, and with origins."""

from __future__ import annotations

from lsmkv_cluster.config.origins import Chosen, Configuration
from lsmkv_cluster.config.setting_kinds import Switch
from lsmkv_cluster.config.settings import Setting, all_settings
from lsmkv_cluster.config.toml_fields import toml_line, toml_text

__all__ = ["as_json", "as_toml", "settings_markdown", "with_origins"]


def settings_markdown() -> str:
    """All settings, a table for each group."""
    groups: dict[str, list[Setting]] = {}
    for setting in all_settings().values():
        groups.setdefault(setting.group, []).append(setting)
    return "\n".join(
        f"### {group}\n\n| setting | takes | default | what it is |\n|---|---|---|---|\n"
        + "".join(_row(setting) for setting in settings)
        for group, settings in groups.items()
    )


def _row(setting: Setting) -> str:
    default = "" if setting.is_required else setting.kind.show(setting.default)
    shown = "required" if setting.is_required else f"`{default}`" if default else ""
    return f"| `{setting.name}` | {setting.kind} | {shown} | {setting.help} |\n"


# --- of a configuration


def as_toml(configuration: Configuration) -> str:
    """A file that sets the same. What is not set stands there as a comment."""
    return "".join(
        _toml_of(chosen) for chosen in configuration.chosen.values() if chosen.setting.is_in_files
    )


def _toml_of(chosen: Chosen) -> str:
    setting, value = chosen.setting, chosen.value
    if isinstance(value, tuple):
        return f"{setting.name} = [{', '.join(toml_text(str(item)) for item in value)}]\n"
    shown = setting.kind.show(value)
    if value is None and not shown:
        return f"# {setting.name} =\n"
    if isinstance(setting.kind, Switch) or (isinstance(value, int) and shown == str(value)):
        return f"{setting.name} = {shown}\n"
    return toml_line(setting.name, shown)


def with_origins(configuration: Configuration) -> list[str]:
    """Lines: setting, value, where it came from and who was overruled."""
    rows = [
        (name, _shown(chosen), _origins(chosen)) for name, chosen in configuration.chosen.items()
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return [f"{name:{widths[0]}}  {value:{widths[1]}}  {by}" for name, value, by in rows]


def _shown(chosen: Chosen) -> str:
    if chosen.is_missing:
        return "-"
    return chosen.setting.kind.show(chosen.value) or "-"


def _origins(chosen: Chosen) -> str:
    overruled = ", ".join(map(str, chosen.overruled))
    return f"{chosen.origin}, not {overruled}" if overruled else str(chosen.origin)


def as_json(configuration: Configuration) -> list[dict[str, object]]:
    """Values as they are where JSON has them, else as text."""
    return [
        {
            "name": name,
            "value": _json_value(chosen),
            "source": chosen.origin.source.value,
            "where": chosen.origin.where,
            "overruled": [str(origin) for origin in chosen.overruled],
        }
        for name, chosen in configuration.chosen.items()
    ]


def _json_value(chosen: Chosen) -> object:
    value = chosen.value
    if isinstance(value, tuple):
        return [str(item) for item in value]
    return value if value is None or isinstance(value, int | str) else str(value)
