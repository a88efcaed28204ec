"""What the stranger's declarations name."""

from torch import nn

from cod_runner.api import Needs, Proposal


class Margin(nn.Module):
    def __init__(self, options, context):
        super().__init__()
        self.scale = options.scale

    def needs(self, teacher, student):
        return Needs()

    def bind(self, binding):
        pass

    def forward(self, student, teacher, batch):
        ours = student.logits[:, 1] - student.logits[:, 0]
        theirs = teacher.logits[:, 1] - teacher.logits[:, 0]
        return self.scale * (ours - theirs).square()


class Mirror:
    rounds = 1

    def __init__(self, options, context):
        self.reach = options.reach

    def propose(self, requests, teacher):
        steps = [self.reach * part / 20 for part in range(-20, 21)]
        return [
            [Proposal((x + dx, y + dy)) for dx in steps for dy in steps if (dx, dy) != (0.0, 0.0)]
            for x, y in (request.input for request in requests)
        ]
