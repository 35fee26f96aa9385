"""How teachers are asked: the gateway with its limits, retries and caps, and answers that must satisfy a schema."""
