"""What the deployments stand on, defined once: `cluster/` on AWS."""
