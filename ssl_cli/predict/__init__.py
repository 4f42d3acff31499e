"""From a trained run to an answer for each image: its class, how sure that is, and how unlike what was seen it is."""
