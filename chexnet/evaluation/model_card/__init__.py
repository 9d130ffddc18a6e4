"""Model cards: what a checkpoint is, what it was trained and tested on, and what it is not for.

The sections follow Mitchell et al., Model cards for model reporting, FAT* 2019, the table CLAIM (Mongan et al.,
Radiology: Artificial Intelligence 2(2), 2020), and the first lines Hugging Face's metadata.
"""

from chexnet.evaluation.model_card.card_details import DETAILS
from chexnet.evaluation.model_card.card_inputs import CardInputs, card_path, read_card_inputs
from chexnet.evaluation.model_card.card_text import render_card

__all__ = ["DETAILS", "CardInputs", "card_path", "read_card_inputs", "render_card"]
