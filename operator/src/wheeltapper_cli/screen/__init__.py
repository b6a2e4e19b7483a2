"""The screens of a terminal: all twins, one twin, one alert. State and drawing are pure; terminal and shell are not."""
