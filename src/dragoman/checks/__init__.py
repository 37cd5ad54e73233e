"""What is checked of a configuration and its zone, for the doctor and the setup page. It changes nothing."""
