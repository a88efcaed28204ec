"""Real sentences of many lengths, on which every export is compared with its student."""

from __future__ import annotations

SENTENCES = (
    "Good.",
    "Never again!",
    "A warm and funny film that never loses its way.",
    "The delivery came two days late and the box was damaged, but the shop refunded me at once.",
    "Dull, badly acted and far too long.",
    "Parliament passed the budget after a debate that lasted until the early hours of the morning.",
    "I have used this kettle every day for a year and it still works as it did when I bought it.",
    "The home side threw away a two-goal lead in the last ten minutes.",
    "Why does the app ask for my location when all I want is to set an alarm?",
    "Shares in the company fell by 7.5% on Tuesday, their largest loss since 2009.",
    "It isn't bad, it isn't good: it's just there, and then it's over.",
    "The battery lasts about four hours, not the ten that the advertisement promises; I sent it back.",
    "Researchers found water under the surface of the moon, far from where anybody had looked for it.",
    "Lovely staff, clean rooms, and a breakfast that is worth getting up for.",
    "The story begins well enough, but by the second act the characters have run out of things to say, and what is "
    "left of the film is a chase through a warehouse that we have all seen before, done better, and in half the time.",
    "Please cancel my subscription and confirm by e-mail that nothing more will be charged.",
)
