"""SPD, SAD, replay window, ESP and tunnel header surgery. Pure: packets in, packets out."""
