"""All trials by their names, in the order in which they are played. Each stands among the `ROWS` of its module."""

from __future__ import annotations

from wsdemo.trials import kernels, lines, news, servers, strangers, together
from wsdemo.trials.trial import Trial

TRIALS: dict[str, Trial] = {
    row.name: row for module in (servers, kernels, lines, strangers, news, together) for row in module.ROWS
}


def chosen(only: str | None) -> list[Trial]:
    """Return the trials of this name: one, or all of a family (`killed-with-log`). None: all there are.

    Raises ValueError, with names that are like it, for one that there is not.
    """
    if only is None:
        return list(TRIALS.values())
    if only in TRIALS:
        return [TRIALS[only]]
    found = [trial for trial in TRIALS.values() if trial.family == only]
    if not found:
        import difflib

        families = list(dict.fromkeys(trial.family for trial in TRIALS.values()))
        like = difflib.get_close_matches(only, [*families, *TRIALS], n=3, cutoff=0.4)
        hint = f"; do you mean {' or '.join(like)}?" if like else "; see --list"
        raise ValueError(f"there is no trial {only!r}{hint}")
    return found
