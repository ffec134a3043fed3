"""The judgement of Parley: pure functions over values, standard library only, no clock but the one passed in."""
