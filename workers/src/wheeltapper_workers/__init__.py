"""Workers: from the sensor to the score and the alert."""
