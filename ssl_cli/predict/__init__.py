"""From a trained run to an answer for each input: its class, how sure that is, and how unlike what was seen it is."""
