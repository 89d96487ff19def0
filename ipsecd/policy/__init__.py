"""YAML text -> validated, frozen policy objects -> what the other rooms need of them."""
