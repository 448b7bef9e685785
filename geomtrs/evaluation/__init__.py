"""How well masks agree with what was drawn by people: the published protocol, and how sure its figures are."""
