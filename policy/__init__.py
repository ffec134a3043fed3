"""The policy pack: what every stack of Parley must hold, judged before an update and on an exported state."""
