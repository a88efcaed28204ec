"""What the stranger's training sets are made by."""


class Shortest:
    """Vectors by their length, texts by their number of words."""

    nested = True

    def __init__(self, options, context):
        pass

    def rank(self, selection):
        sizes = [
            len(each.split()) if isinstance(each, str) else sum(number * number for number in each)
            for each in selection.inputs
        ]
        return sorted(range(len(sizes)), key=sizes.__getitem__)


class FarthestOn:
    """The candidate that moved farthest from its original on one axis."""

    nested = True

    def __init__(self, options, context):
        self.axis = options.axis

    def rank(self, choices, choosing):
        return [
            sorted(
                range(len(choice.candidates)),
                key=lambda place, choice=choice: (
                    -abs(choice.candidates[place].input[self.axis] - choice.original.input[self.axis])
                ),
            )
            for choice in choices
        ]
