"""The two one-way roads, their run loop, and the messages that control them."""
