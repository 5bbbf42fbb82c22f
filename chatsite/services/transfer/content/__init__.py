"""What messages of several products contain, as texts and columns of this site."""
