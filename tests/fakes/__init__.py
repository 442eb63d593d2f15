"""Provider fakes that speak the real wire format over loopback, with real faults."""
