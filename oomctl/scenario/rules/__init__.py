"""What a scenario's keys need of each other, table by table."""
