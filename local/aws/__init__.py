"""AWS on one machine: moto, hosted in our own process, and a provider plugin that carries the program out on it."""
