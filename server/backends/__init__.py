"""Infrastructure behind the ports, one module per technology. A backend knows no other."""
