"""The one-machine cloud: the engine, AWS, Lambda and Twilio on loopback, for trying and testing."""
