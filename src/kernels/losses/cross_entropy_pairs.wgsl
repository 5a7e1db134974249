// As cross_entropy.wgsl, for a number of columns that fours do not divide.
// #import "losses/cross_entropy.wgsl"
// #import "losses/pairs.wgsl" instead of "losses/fours.wgsl"
