"""Pictures by their descriptions: painted once, and found again by what was asked for."""

from __future__ import annotations

from server.assistant.pictures.allowance import Allowance
from server.assistant.pictures.claims import Claims
from server.assistant.pictures.flights import Flights
from server.assistant.pictures.painter import Painter, Style
from server.assistant.pictures.pictures import Pictures

__all__ = ["Allowance", "Claims", "Flights", "Painter", "Pictures", "Style"]
