"""Medians with their spread, and the tables made of them."""

import statistics


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratios(own, others):
    """Of two lists of one figure for each round: the spread of what the rounds say."""
    return spread([mine / theirs for mine, theirs in zip(own, others)])


def cell(value, digits=1, form="{0:,.{3}f} ({1:,.{3}f}..{2:,.{3}f})"):
    if value is None:
        return "-"
    return form.format(value["median"], value["min"], value["max"], digits)


def median_cell(value, digits=0, scale=1.0):
    return "-" if value is None else f"{value['median'] * scale:,.{digits}f}"


def print_table(rows):
    """The first row is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(text.ljust(width) if column == 0 else text.rjust(width)
                        for column, (text, width) in enumerate(zip(row, widths))).rstrip())


def print_markdown(rows, left=1):
    """The same as markdown; the first `left` columns hold words, the others numbers."""
    head, *body = rows
    rule = ["---" if column < left else "---:" for column in range(len(head))]
    for row in (head, rule, *body):
        print("| " + " | ".join(row) + " |")


class Verdict:
    """Limits, judged one after the other."""

    def __init__(self):
        self.ok = True

    def judge(self, what, value, form, at_most=None, at_least=None):
        """Prints one line; a `value` of None could not be measured, and misses."""
        bound = f"at most {at_most:g}" if at_most is not None else f"at least {at_least:g}"
        holds = value is not None and (value <= at_most if at_most is not None
                                       else value >= at_least)
        shown = "not measured" if value is None else form.format(value)
        print(f"{'holds ' if holds else 'MISSED'}  {what}: {shown}, {bound}")
        self.ok = self.ok and holds
